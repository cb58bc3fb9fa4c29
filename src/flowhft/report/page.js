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

// A figure drawn for a screen is wider than paper: draw it again in the width that it gets there.
const redraw = () => plots.forEach((plot) => Plotly.Plots.resize(plot));
window.matchMedia("print").addEventListener("change", redraw);
window.addEventListener("beforeprint", redraw);
window.addEventListener("afterprint", redraw);
