"""The page's contents, a module for each section; `content` combines them."""
