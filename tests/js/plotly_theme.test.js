import assert from "node:assert/strict";
import { test } from "node:test";

import { themedLayout } from "../../ui/static/lib/plotly_theme.js";

const COLOURS = { ink: "#111", grid: "#222", paper: "#333" };

test("every axis has the page's colours and keeps what is its own", () => {
  const layout = { xaxis: { title: "step" }, yaxis2: { type: "log" }, xaxisless: undefined };
  const themed = themedLayout(layout, COLOURS);
  assert.deepEqual(themed.xaxis, {
    title: "step",
    gridcolor: "#222",
    zerolinecolor: "#222",
    linecolor: "#222",
  });
  assert.equal(themed.yaxis2.type, "log");
  assert.equal(themed.yaxis2.gridcolor, "#222");
  assert.equal("yaxis" in themed, false);
});

test("text, boxes and buttons can be read in light and dark", () => {
  const themed = themedLayout({}, COLOURS);
  assert.equal(themed.font.color, "#111");
  assert.deepEqual(themed.hoverlabel, {
    bgcolor: "#333",
    bordercolor: "#222",
    font: { color: "#111" },
  });
  assert.equal(themed.modebar.color, "#111");
  assert.deepEqual([themed.paper_bgcolor, themed.plot_bgcolor], ["transparent", "transparent"]);
});

test("the figure's own layout stays and is not changed", () => {
  const layout = Object.freeze({
    height: 5,
    uirevision: "run",
    xaxis: Object.freeze({ range: [0, 1] }),
  });
  const themed = themedLayout(layout, COLOURS);
  assert.deepEqual([themed.height, themed.uirevision, themed.autosize], [5, "run", true]);
  assert.deepEqual(themed.xaxis.range, [0, 1]);
});
