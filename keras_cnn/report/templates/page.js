"use strict";
(() => {
  const all = (selector, below = document) => [...below.querySelectorAll(selector)];
  const root = document.documentElement;
  root.classList.add("js");

  // --- theme: the system's until the button is used; kept where the browser keeps anything for a file ---
  const theme = document.querySelector(".theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = {
    get() { try { return localStorage.getItem("keras_cnn theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("keras_cnn theme", value); } catch { /* a file may have no storage */ } },
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showTheme = () => theme.setAttribute("aria-pressed", String(isDark()));
  if (["dark", "light"].includes(kept.get())) root.dataset.theme = kept.get();
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept.set(root.dataset.theme);
    showTheme();
  });
  system.addEventListener("change", showTheme);
  showTheme();

  // --- tables that sort: a button in each heading; what has no value stays below ---
  for (const table of all("table[data-sortable]")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    const headings = all("th[data-sort]", table.tHead);
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      heading.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const sorted = heading.getAttribute("aria-sort");
        const down = sorted === "none" ? heading.dataset.best === "highest" : sorted === "ascending";
        headings.forEach((other) => other.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.value;
        const compare = heading.dataset.sort === "number"
          ? (a, b) => Number(value(a)) - Number(value(b))
          : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
        const known = [...body.rows].filter((row) => value(row) !== "").sort((a, b) => (down ? compare(b, a) : compare(a, b)));
        const unknown = [...body.rows].filter((row) => value(row) === "");
        body.append(...known, ...unknown);
      });
    });
  }

  // --- long tables: a field that keeps the rows with all of its words ---
  for (const table of all("table[data-search]")) {
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const label = document.createElement("label"), field = document.createElement("input"), found = document.createElement("output");
    label.className = "search";
    field.type = "search";
    field.placeholder = "words of a class";
    const keep = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let kept = 0;
      rows.forEach((row, index) => {
        row.hidden = !words.every((word) => texts[index].includes(word));
        kept += !row.hidden;
      });
      found.textContent = words.length ? `${kept} of ${rows.length} rows` : `${rows.length} rows`;
    };
    field.addEventListener("input", keep);
    label.append("Search ", field, " ", found);
    table.parentElement.before(label);
    keep();
  }

  // --- folded sections: a link to one opens it ---
  const unfold = () => {
    const fold = location.hash.length > 1 && document.getElementById(location.hash.slice(1))?.querySelector(":scope > .fold");
    if (fold) fold.open = true;
  };
  addEventListener("hashchange", unfold);
  for (const link of all(".bar a")) link.addEventListener("click", () => setTimeout(unfold));
  unfold();

  // --- pictures, larger ---
  const dialog = document.querySelector("dialog");
  const thumbs = all(".thumb");
  let shown = 0;
  const show = (index) => {
    shown = (index + thumbs.length) % thumbs.length;
    const image = thumbs[shown].querySelector("img");
    dialog.querySelector("img").src = image.src;
    dialog.querySelector("img").alt = image.alt;
    const original = thumbs[shown].dataset.original;
    dialog.querySelector("p").textContent = image.alt + (original ? `, scaled down from ${original}` : "");
    dialog.querySelector(".enlarged").scrollTo(0, 0);
  };
  thumbs.forEach((thumb, index) => thumb.addEventListener("click", () => { show(index); dialog.showModal(); }));
  dialog?.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(shown + 1);
    if (event.key === "ArrowLeft") show(shown - 1);
  });
  dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // --- copying ---
  for (const block of all(".copied")) {
    const button = block.querySelector(".copy"), code = block.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {  // no right to the clipboard: what is selected can be copied by hand
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // --- charts: unpacked once; those in sight are drawn first ---
  const plots = all(".plot");
  const hidden = new Set();
  const touch = matchMedia("(pointer: coarse)").matches;
  const isShown = (trace) => !(trace.meta && hidden.has(trace.meta.run));

  const unpack = async () => {
    const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("the charts' script did not run");
  };

  const hasWebGL = () => {
    try { return !!document.createElement("canvas").getContext("webgl"); } catch { return false; }
  };

  const failAt = (plot, reason) => {
    plot.classList.add("failed");
    plot.textContent = `This browser cannot draw the chart (${reason}); its numbers:`;
    plot.closest(".chart").querySelector("details").open = true;
  };

  const draw = (plot) => {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "yes";
    const figure = JSON.parse(document.getElementById(`chart-${plot.dataset.chart}`).textContent);
    if (figure.data.some((trace) => trace.type === "parcoords") && !hasWebGL()) return failAt(plot, "it has no WebGL");
    for (const trace of figure.data) trace.visible = isShown(trace);
    if (touch) {  // a finger on a chart scrolls the page
      figure.layout.dragmode = false;
      for (const name of Object.keys(figure.layout)) if (/^[xy]axis/.test(name)) figure.layout[name].fixedrange = true;
    }
    Plotly.newPlot(plot, figure.data, figure.layout, {
      responsive: true,
      displayModeBar: false,
    });
  };

  const fail = (reason) => plots.forEach((plot) => failAt(plot, reason));

  for (const button of all(".legend button")) {
    button.addEventListener("click", () => {
      const run = Number(button.dataset.run);
      if (!hidden.delete(run)) hidden.add(run);
      for (const other of all(`.legend button[data-run="${run}"]`)) other.setAttribute("aria-pressed", String(!hidden.has(run)));
      for (const plot of plots.filter((plot) => plot.dataset.drawn && plot.data)) {
        Plotly.restyle(plot, { visible: plot.data.map(isShown) });
      }
    });
  }

  if (plots.length) {
    unpack().then(() => {
      const near = new IntersectionObserver((entries) => {
        for (const entry of entries.filter((entry) => entry.isIntersecting)) {
          near.unobserve(entry.target);
          draw(entry.target);
        }
      }, { rootMargin: "800px 0px" });
      plots.forEach((plot) => near.observe(plot));
      const next = () => {  // the others one at a time, so that the page answers in between
        const plot = plots.find((plot) => !plot.dataset.drawn && !plot.closest("details:not([open])"));
        if (plot) { draw(plot); setTimeout(next, 50); }
      };
      setTimeout(next, 500);
    }).catch((error) => fail(error.message));
  }

  // --- paper: open but for numbers of drawn charts, lists of files and further matrices; charts fit the sheet ---
  const SHEET = 660;  // CSS pixels between the margins of A4 and of US letter
  const SQUARE = 380;  // two matrices to a sheet
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open], .numbers, .more, .further)");
    for (const details of opened) details.open = true;
    if (!window.Plotly) return;
    for (const plot of plots.filter((plot) => !plot.closest("details:not([open])"))) {
      draw(plot);
      const side = plot.closest(".square:not(.large)") && SQUARE;
      if (plot.data) Plotly.relayout(plot, side ? { width: side, height: side } : { width: SHEET });
    }
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    for (const plot of plots.filter((plot) => plot.data)) Plotly.relayout(plot, { width: null, ...(plot.closest(".square") && { height: null }), autosize: true });
  });
})();
