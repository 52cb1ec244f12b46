// @ts-check
// How figures look on the page: its own colours, light or dark.

import { isShown } from "./dom.js";

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

const PLOTLY_MS = 200; // its script comes after the page

/**
 * Whether figures can be drawn in an element now; where Plotly's script has not come yet, the
 * drawing is tried again.
 * @param {HTMLElement} element
 * @param {() => void} again
 */
export function canDraw(element, again) {
  if (!window.Plotly) {
    setTimeout(again, PLOTLY_MS);
    return false;
  }
  return isShown(element) || element.getClientRects().length > 0;
}

/**
 * Draw whenever an element comes into sight.
 * @param {HTMLElement} element
 * @param {() => void} draw
 */
export function whenSeen(element, draw) {
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) draw();
  }).observe(element);
}

/**
 * Follow one of Plotly's events on a figure, and no more than once.
 * @param {HTMLElement} place
 * @param {string} name
 * @param {(event: any) => void} follow
 */
export function onPlotly(place, name, follow) {
  const plot = /** @type {any} */ (place); // Plotly gives it methods
  plot.removeAllListeners?.(name);
  plot.on?.(name, follow);
}
