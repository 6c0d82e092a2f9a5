R"page("use strict";
const nodes = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

// Step 0: the leaves. Then the ops forward, the loss with its own gradient, the ops backward, the leaves with their gradients.
const ops = nodes.filter(node => node.inputs.length > 0), leaves = nodes.filter(node => node.inputs.length === 0);
const loss = nodes[nodes.length - 1], turn = ops.length + 1, last = 2 * ops.length + 2;
ops.forEach((node, i) => { node.forward = i + 1; node.backward = last - 1 - i; });
const opAt = step => step < turn ? ops[step - 1] : ops[last - 1 - step];
const shapeText = node => `(${node.shape.join(", ")})`, short = node => node.label.slice(0, -1 - shapeText(node).length);
const listed = names => names.length < 2 ? names.join() : names.slice(0, -1).join(", ") + " and " + names[names.length - 1];
const gradientAt = (node, step) => node.gradients.filter(gradient => gradient.at <= step).pop();

// Each tensor has a lane from its row to that of its last near user; an op goes on in a lane that ends with it, so that a chain is
// a line. Wires to users further down share lane 0: a weight that is used at every step of a sentence would fill a lane for all.
const rowHeight = 26, farthest = 16, lanes = [true];
nodes.forEach((node, row) => { node.row = node.lastRow = row; });
for (const user of nodes) for (const index of user.inputs)
  if (user.row - index <= farthest) nodes[index].lastRow = Math.max(nodes[index].lastRow, user.row);
for (const node of nodes) {
  const ending = node.inputs.map(index => nodes[index]).filter(input => input.inputs.length > 0 && input.lastRow === node.row);
  lanes.forEach((holder, lane) => { if (lane > 0 && holder && holder.lastRow <= node.row) lanes[lane] = undefined; });
  node.lane = ending.length > 0 ? Math.min(...ending.map(input => input.lane)) : node.inputs.length > 0 ? 1 : 2;
  while (lanes[node.lane]) ++node.lane;
  lanes[node.lane] = node;
}
const isWide = innerWidth > 800, laneWidth = Math.min(14, (isWide ? 150 : 90) / lanes.length);
const x = node => 10 + node.lane * laneWidth, y = node => (node.row + .5) * rowHeight;

const svg = document.querySelector("svg"), wires = [];
for (const user of nodes) for (const index of new Set(user.inputs)) {
  const input = nodes[index], path = document.createElementNS(svg.namespaceURI, "path"), isFar = user.row - input.row > farthest;
  const from = x(input), via = isFar ? 10 : from, to = x(user), top = y(input), bottom = y(user), bend = bottom - rowHeight;
  const curve = (x1, y1, x2, y2) => x1 === x2 ? `V${y2}` : `C${x1} ${y1 + rowHeight * .6} ${x2} ${y2 - rowHeight * .6} ${x2} ${y2}`;
  const toLane0 = isFar ? curve(from, top, via, top + rowHeight) : "";
  path.setAttribute("d", `M${from} ${top}${toLane0}V${bend}${curve(via, bend, to, bottom)}`);
  if (isFar) path.classList.add("far");
  svg.append(path);
  wires.push({path, user, input});
}

const norms = nodes.map(node => +(gradientAt(node, last) || {}).norm).filter(norm => norm > 0 && norm < Infinity).map(Math.log10);
const lowest = Math.min(...norms) - .3, highest = Math.max(...norms);
for (const node of nodes) {
  node.dot = make("span", "dot");
  node.dot.style.left = x(node) - 5 + "px";
  node.valueText = make("span", "number optional");
  node.slopeText = make("span", "number slope");
  let name = short(node);    // of the parts of a long name the last ones tell most
  while (name.length > 24 && name.split(".").length > 2) name = "…" + name.slice(name.indexOf(".") + 1);
  const nameText = make("span", "name", name + " ", make("span", "shape", shapeText(node)));
  node.button = make("button", "row", nameText, node.valueText, node.slopeText);
  node.button.title = `${node.label}, ${node.where}`;
  node.button.onclick = () => show(step < turn ? node.forward || 0 : node.backward || last);
  node.item = make("li", "node", node.dot, node.button);
  at("list").append(node.item);
}
at("graph").style.setProperty("--lanes", 10 + lanes.length * laneWidth + "px");

// One array of a tensor, its value or a gradient: a picture if it is large, and the numbers, of which a few may be shown.
function panel(node, array, title, marks) {
  const isRange = node.size > (array.notFinite || 0);    // else there is no finite number
  const range = node.size === 1 ? "" : ` · norm ${array.norm}${isRange ? `, from ${array.low} to ${array.high}` : ""}`;
  const caption = make("figcaption", "", make("b", "", title), range);
  const body = make("div", "body"), figure = make("figure", "", caption, body);
  if (array.notFinite) caption.append(" · ", make("span", "bad", `${array.notFinite} not finite`));
  if (array.picture) {
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `heat map of all ${node.size} numbers`);
    draw(canvas, array.picture, Math.min(node.columns, 48));
    body.append(canvas);
  }
  const cells = array.cells.split(" "), scale = Math.max(Math.abs(array.low), Math.abs(array.high)) || 1;
  const table = make("table"), columns = node.shownColumns, isCutAcross = columns < node.columns;
  const indices = row => node.shape.slice(0, -1).reduceRight((list, size) => {
    list.unshift(row % size);
    row = Math.floor(row / size);
    return list;
  }, []);
  if (node.size > 1) {
    const head = make("tr", "", node.rows > 1 ? make("th") : "");
    for (let column = 0; column < columns; ++column) head.append(make("th", "", String(column)));
    if (isCutAcross) head.append(make("th", "", "…", make("span", "optional", ` of ${node.columns}`)));
    table.append(head);
  }
  node.shownRows.forEach((row, r) => {
    const line = make("tr");
    if (node.rows > 1) line.append(make("th", "", indices(row).join(",")));
    for (let column = 0; column < columns; ++column) {
      const i = r * columns + column, number = +cells[i], cell = make("td", "", cells[i]);
      cell.style.setProperty("--sign", number < 0 ? "var(--minus)" : "var(--plus)");
      cell.style.setProperty("--depth", number ? .06 + .44 * Math.abs(number) / scale : 0);
      if (!isFinite(number)) cell.classList.add("bad");
      if (marks && marks[i] === "1") {
        cell.classList.add("changed");
        cell.append(make("span", "unseen", " changed"));
      }
      cell.dataset.place = `${row} ${column}`;
      line.append(cell);
    }
    table.append(line);
  });
  if (node.shownRows.length < node.rows) {
    const isCoarse = array.picture.length < node.size;
    const all = isCoarse ? "in the picture a square is the greatest of its block" : "the picture shows all";
    const rest = make("th", "rest", `${node.shownRows.length} of ${node.rows} rows; ${all}`);
    rest.colSpan = columns + 1;
    table.append(make("tr", "", rest));
  }
  body.append(make("div", "scroll", table));
  return figure;
}

function draw(canvas, picture, columns) {
  const rows = picture.length / columns, side = columns > 32 ? 3 : 5, height = rows === 1 ? 16 : side;
  canvas.width = columns * side;
  canvas.height = rows * height;
  const context = canvas.getContext("2d"), style = getComputedStyle(document.body);
  const plus = style.getPropertyValue("--plus"), minus = style.getPropertyValue("--minus");
  [...picture].forEach((letter, i) => {
    if (letter === ".") return;
    const isNegative = letter >= "a", depth = (letter.toUpperCase().charCodeAt(0) - 64) / 26;
    context.fillStyle = letter === "!" ? "#c00" : `rgba(${isNegative ? minus : plus}, ${.08 + .92 * depth})`;
    context.fillRect(i % columns * side, Math.floor(i / columns) * height, side, height);
  });
}

// A tensor's card at a step: its value, and its gradient once there is one.
function card(node, role, step, isMain) {
  const value = panel(node, node.value, "value"), gradient = gradientAt(node, step), panels = make("div", "panels");
  if (gradient) {
    const isNew = gradient.at === step, held = node.gradients[node.gradients.indexOf(gradient) - 1];
    let title = "gradient";
    if (isNew && step !== turn) title += `: ${gradient.changed === node.size ? "all" : gradient.changed} of ${node.size} changed`;
    const figure = panel(node, gradient, title, isNew ? gradient.marks : "");
    if (isNew && held)
      figure.append(make("p", "quiet", `It held a gradient of norm ${held.norm}; this step added one of norm ${gradient.added}.`));
    panels.append(figure);
  }
  panels.append(value);
  if (step >= turn && !node.learns) panels.append(make("p", "quiet", "No gradient is asked for."));
  const article = make("article", isMain ? "card main" : "card", make("h3", "", make("span", "role", role), node.label), panels);
  article.dataset.label = node.label;
  return article;
}

let step = -1, timer;
function show(wanted) {
  wanted = Math.max(0, Math.min(last, wanted));
  if (wanted === step) return;
  step = wanted;
  const op = opAt(step), isBack = step >= turn;
  document.body.classList.toggle("back", isBack);
  at("slider").value = step;
  at("previous").disabled = step === 0;
  at("next").disabled = step === last;
  at("count").textContent = `step ${step} of ${last}`;

  const current = op || (step === turn ? loss : undefined);
  for (const node of nodes) {
    const gradient = gradientAt(node, step), isThere = node.inputs.length === 0 || node.forward <= step;
    node.item.className = ["node", node.inputs.length === 0 ? "leaf" : "", node.learns ? "learns" : "",
      gradient ? "graded" : isThere ? "valued" : "todo", node === current ? "current" : ""].join(" ");
    node.valueText.textContent = isThere ? node.value.norm : "";
    node.slopeText.textContent = gradient ? gradient.norm : "";
    for (const text of [node.valueText, node.slopeText]) text.classList.toggle("bad", !isFinite(text.textContent));
    node.button.setAttribute("aria-label", node.label + (isThere ? `, norm ${node.value.norm}` : ", not computed yet") +
      (gradient ? `, gradient norm ${gradient.norm}` : ""));
    node.slopeText.style.setProperty("--share", gradient && gradient.norm > 0 && gradient.norm < Infinity
      ? 100 * (Math.log10(gradient.norm) - lowest) / (highest - lowest) + "%" : "0%");
    if (node === current) node.button.setAttribute("aria-current", "step");
    else node.button.removeAttribute("aria-current");
  }
  for (const {path, user, input} of wires) {
    path.classList.toggle("now", user === op && (!isBack || input.learns));
    path.classList.toggle("went", input.learns && user.backward <= step);
  }

  at("source").hidden = !current;
  if (current) {
    at("code").textContent = current.code;
    at("where").textContent = current.where + (isBack && op ? ` · in a debugger: break ${current.struct}::backward` : "");
    at("equations").replaceChildren(...current.equations.map(text =>
      make("li", /^d[A-Za-z]/.test(text) === isBack ? "now" : "", make("code", "", text))));
  }
  const inputs = op ? [...new Set(op.inputs)].map(index => nodes[index]) : [];
  const role = input => "input " + op.inputs.flatMap((index, i) => nodes[index] === input ? [i + 1] : []).join(" and ");
  const inputCards = inputs.map(input => card(input, role(input), step));
  at("name").textContent = op ? op.label : "";
  if (step === 0) {
    at("phase").textContent = "Start";
    at("name").textContent = "the leaves";
    at("sentence").textContent = "What is given, and what is to be learned. No op has run yet: press → to compute the first.";
    at("cards").replaceChildren(...leaves.map(leaf => card(leaf, leaf.learns ? "learns" : "given", step)));
  } else if (step < turn) {
    at("phase").textContent = `Forward ${step} of ${ops.length}`;
    at("sentence").textContent = `Its value is computed from ${listed(inputs.map(short))}.`;
    at("cards").replaceChildren(card(op, "result", step, true), ...inputCards);
  } else if (step === turn) {
    at("phase").textContent = "The turn";
    at("name").textContent = loss.label;
    at("sentence").textContent = `The loss is ${loss.value.cells}. Its own gradient is 1. Now the way back: how does the loss ` +
      "change with each number before it?";
    at("cards").replaceChildren(card(loss, "loss", step, true));
  } else if (step < last) {
    at("phase").textContent = `Backward ${step - turn} of ${ops.length}`;
    at("sentence").textContent = (op === loss ? "The loss begins with its gradient of 1. "
      : `A gradient of norm ${gradientAt(op, step).norm} has arrived: all that use it have added theirs. `) +
      `By the chain rule it goes on to ${listed(inputs.filter(input => input.learns).map(short))}.`;
    at("cards").replaceChildren(card(op, "arrives at", step, true), ...inputCards);
  } else {
    at("phase").textContent = "End";
    at("name").textContent = "the gradients of the leaves";
    at("sentence").textContent = "Each number that learns knows its slope: how the loss changes with it. An optimiser moves it a " +
      "little the other way.";
    at("cards").replaceChildren(...leaves.filter(leaf => leaf.learns).map(leaf => card(leaf, "learns", step)));
  }

  // The current row stays in the middle half of the list.
  const pane = at("graph"), height = pane.clientHeight, middle = y(current || nodes[0]) - pane.scrollTop;
  if (middle < height * .25 || middle > height * .7) pane.scrollTop += middle - height / 2;
  clearTimeout(timer);    // browsers count address changes, and a key may be held down
  timer = setTimeout(() => history.replaceState(null, "", "#" + step), 200);
}

const counted = (count, one, more) => `${count} ${count === 1 ? one : more}`;
at("about").textContent = `${counted(ops.length, "op", "ops")} and ${counted(leaves.length, "leaf", "leaves")} make the loss ` +
  `${loss.value.cells}: first forward, op by op, ` +
  "then backward.";
at("slider").max = last;
at("slider").style.setProperty("--middle", 100 * turn / last + "%");
at("slider").oninput = event => show(+event.target.value);
at("previous").onclick = () => show(step - 1);
at("next").onclick = () => show(step + 1);
addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const wanted = {ArrowRight: step + 1, ArrowLeft: step - 1, Home: 0, End: last, b: turn, B: turn}[event.key];
  if (wanted === undefined) return;
  event.preventDefault();
  show(wanted);
});
addEventListener("hashchange", () => show(parseInt(location.hash.slice(1)) || 0));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { const now = step; step = -1; show(now); });
show(parseInt(location.hash.slice(1)) || 0);
</script>
)page"
