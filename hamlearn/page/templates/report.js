"use strict";
// Tables sort by a click on a heading and are copied as a spreadsheet takes them. The page is whole without it.
const plain = (cell) => {
  const text = cell.textContent.trim();
  return /^[−\d\s.e+-]+%?$/.test(text) ? text.replace(/\s/g, "").replace(/−/g, "-") : text.replace(/\s+/g, " ");
};
const value = (text) => (text === "" || text === "–" ? NaN : Number(text.replace(/%$/, "")));
const words = new Intl.Collator("en", { numeric: true });

function order(table, column, falling) {
  const rows = [...table.tBodies[0].rows].map((row) => [row, plain(row.cells[column])]);
  const numbers = rows.every(([, text]) => text === "" || text === "–" || !Number.isNaN(value(text)));
  const sign = falling ? -1 : 1;
  rows.sort(([, a], [, b]) => {
    if (!numbers) return sign * words.compare(a, b);
    const [x, y] = [value(a), value(b)];
    return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y);
  });
  table.tBodies[0].append(...rows.map(([row]) => row));
}

function button(text, act) {
  const made = document.createElement("span"); // printers repeat no real buttons in the heads of tables
  made.setAttribute("role", "button");
  made.tabIndex = 0;
  made.append(text);
  made.addEventListener("click", () => act(made));
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act(made);
  });
  return made;
}

function copy(table, pressed) {
  const lines = [...table.rows].map((row) => [...row.cells].filter((cell) => cell.className !== "bar").map(plain).join("\t"));
  const give = (event) => {
    event.clipboardData.setData("text/plain", lines.join("\n"));
    event.preventDefault();
  };
  getSelection().selectAllChildren(table); // some browsers copy nothing where nothing is selected
  document.addEventListener("copy", give, { once: true });
  const done = document.execCommand("copy");
  document.removeEventListener("copy", give);
  if (done) getSelection().removeAllRanges();
  pressed.textContent = done ? "copied" : "press Ctrl+C";
}

for (const part of document.querySelectorAll(".numbers")) {
  const table = part.querySelector("table");
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.className === "bar") return;
    const name = head.textContent;
    head.replaceChildren(
      button(name, () => {
        const falling = head.ariaSort !== "descending";
        for (const one of heads) one.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        order(table, column, falling);
      }),
    );
  });
  part.querySelector(".tools").prepend(button("copy the table", (pressed) => copy(table, pressed)));
}
