"""What the page says, a room for each section; `content` puts them together."""
