// Draws what the result's markup cannot, and shows the pairs behind a number that is pressed. All text is set as text.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
let shown = null;

function paint(name, figure) {
  part(`${name}-box`).hidden = !figure;
  if (!figure) return;
  const ink = css("--body-text-color"), grid = css("--border-color-primary"), paper = css("--background-fill-primary");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
  const layout = { ...figure.layout, autosize: true, font: { color: ink, family: "system-ui, sans-serif", size: 12 }, paper_bgcolor: "transparent",
    plot_bgcolor: "transparent", hoverlabel: { bgcolor: paper, bordercolor: grid, font: { color: ink } },
    xaxis: { ...figure.layout.xaxis, ...axis }, yaxis: { ...figure.layout.yaxis, ...axis } };
  window.Plotly.react(part(name), figure.data, layout, { responsive: true, displayModeBar: false });
}

function draw() {
  if (shown && !window.Plotly) { setTimeout(draw, 200); return; }  // its script comes after the page
  if (!shown || element.offsetParent === null && !element.getClientRects().length) return;
  part("loss-words").textContent = shown.loss_words || "";
  paint("win-rates", shown.win_rates);
  paint("losses", shown.losses);
  part("win-rates").removeAllListeners?.("plotly_click");
  part("win-rates").on?.("plotly_click", (event) => {
    const [first, second, category] = event.points[0].customdata;
    open({ meeting: [first, second], category });
  });
}

function read() {
  try { shown = JSON.parse(props.value); } catch (error) { shown = null; }
  if (!shown?.review) shown = null;
  if (!shown) for (const name of ["win-rates", "losses"]) part(`${name}-box`).hidden = true;
  requestAnimationFrame(draw);
}

function make(kind, name, text) {
  const node = document.createElement(kind);
  if (name) node.className = name;
  node.textContent = text;
  if (name === "text") { node.dir = "auto"; node.tabIndex = 0; }
  return node;
}

function article(pair) {
  const made = document.createElement("article"), two = make("div", "two", "");
  made.append(make("h4", "", `Row ${pair.row}${pair.category ? `, ${pair.category}` : ""}`), make("div", "text", pair.prompt));
  for (const [name, text] of pair.responses) {
    const side = document.createElement("div");
    side.append(make("h4", "", name), make("div", "text", text || "(no text)"));
    two.append(side);
  }
  made.append(two);
  if (pair.expected) made.append(make("h4", "", "Expected answer"), make("div", "text", pair.expected));
  for (const [who, verdict, comment] of pair.said) made.append(make("p", "", `${who}: ${verdict}${comment ? `. ${comment}` : ""}`));
  return made;
}

async function open(asked) {
  if (!shown) return;
  const { review, reviewer, tag, split } = shown;
  const answer = await server.list_pairs({ review, reviewer, tag, split, ...asked, category: asked.category || shown.category });
  const failed = !answer || answer.error;
  part("title").textContent = failed ? answer?.error || "Fuata does not answer. Is it still running?" : answer.title;
  part("pairs").replaceChildren(...(failed ? [] : answer.pairs.map(article)));
  part("more").textContent = failed || !answer.left ? "" : `${answer.left} more pairs: export the review to see them all.`;
  if (!part("behind").open) part("behind").showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("#result :is([data-behind], [data-disputed])");
  if (!button || !element.isConnected) return;
  const { behind, meeting, category } = button.dataset;
  open(meeting ? { meeting: JSON.parse(meeting), outcome: behind, category } : { disputed: true });
});
new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) draw(); }).observe(element);
watch("value", read);
read();
