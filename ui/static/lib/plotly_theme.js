// @ts-check
// How figures look on the page: its own colours, light or dark.

/** @typedef {{ ink: string, grid: string, paper: string }} Colours */
/** @typedef {{ data: any[], layout: Record<string, any> }} Figure */

const ACTIVE = "#0d9488";
const FONT = { family: "system-ui, sans-serif", size: 12 };

/**
 * A figure's layout in the page's colours.
 * @param {Record<string, any>} layout
 * @param {Colours} colours
 * @returns {Record<string, any>}
 */
export function themedLayout(layout, { ink, grid, paper }) {
  const axes = Object.keys(layout).filter((name) => /^[xy]axis/.test(name));
  const lines = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
  return {
    ...layout,
    autosize: true,
    font: { ...FONT, color: ink },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    hoverlabel: { bgcolor: paper, bordercolor: grid, font: { color: ink } },
    modebar: { color: ink, activecolor: ACTIVE, bgcolor: "transparent" },
    ...Object.fromEntries(axes.map((name) => [name, { ...layout[name], ...lines }])),
  };
}

/** @returns {Colours} */
function pageColours() {
  const style = getComputedStyle(document.body);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    ink: colour("--body-text-color"),
    grid: colour("--border-color-primary"),
    paper: colour("--background-fill-primary"),
  };
}

/**
 * Draw a figure, or draw it anew with what a person zoomed and hid left as it is.
 * @param {HTMLElement} place
 * @param {Figure} figure
 * @param {object} options
 */
export function drawFigure(place, figure, options) {
  const layout = themedLayout(figure.layout, pageColours());
  window.Plotly?.react(place, figure.data, layout, { responsive: true, ...options });
}
