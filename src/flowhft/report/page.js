"use strict";
const plots = [...document.querySelectorAll(".plot")];
// Drag to zoom, double-click for the whole: the only button saves a picture, and none sends data anywhere.
const settings = { responsive: true, displaylogo: false, modeBarButtons: [["toImage"]] };

for (const plot of plots) {
  const { data, layout } = JSON.parse(plot.nextElementSibling.textContent);
  Plotly.newPlot(plot, data, layout, settings);
}

// One key for all figures: a policy switched off in one place is off everywhere.
for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const policy = button.dataset.policy;
    const shown = button.getAttribute("aria-pressed") === "false";
    for (const other of document.querySelectorAll(".legend button")) {
      if (other.dataset.policy === policy) other.setAttribute("aria-pressed", String(shown));
    }
    for (const plot of plots) {
      const traces = plot.data.flatMap((trace, index) => (trace.meta === policy ? [index] : []));
      if (traces.length) Plotly.restyle(plot, { visible: shown }, traces);
    }
  });
}

// A figure is drawn in pixels and does not follow the page onto paper: draw it in the width that it gets there,
// A4 or Letter between the margins of the style sheet, and afterwards as the screen wants it again.
const paper = 700;
const gap = 28;
const columns = (plot) => (plot.closest(".row.small") ? 3 : plot.closest(".row") ? 2 : 1);
window.addEventListener("beforeprint", () => {
  for (const plot of plots) {
    const width = Math.floor((paper - gap * (columns(plot) - 1)) / columns(plot));
    Plotly.relayout(plot, { width, autosize: false });
  }
});
window.addEventListener("afterprint", () => {
  for (const plot of plots) Plotly.relayout(plot, { width: null, autosize: true });
});
