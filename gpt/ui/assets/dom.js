// Building elements. Text from users, files or models is written only with textContent: it can never run as code.
window.gpt = window.gpt || { views: {} };

// An element with a class and a text.
gpt.make = function (tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
};

// An element around others.
gpt.wrap = function (tag, className, ...children) {
    const element = gpt.make(tag, className);
    element.append(...children);
    return element;
};

// An element whose changes a screen reader reads out.
gpt.live = function (element) {
    element.setAttribute("role", "status");
    return element;
};

// Show the answer to a request that was refused: at the bottom of the window, since the person may be anywhere on a long page.
gpt.showError = function (element, text) {
    element.textContent = text;
    element.classList.toggle("gpt-floating", Boolean(text));
};

gpt.button = function (text, onclick, className = "gpt-link") {
    const button = gpt.make("button", className, text);
    button.onclick = onclick;
    return button;
};

// A list of choices in `place`, with its label, which is the list's parent. A choice is a text, or [value, text].
gpt.select = function (place, label, choices, chosen) {
    const select = gpt.make("select");
    gpt.fillSelect(select, choices);
    if (chosen !== undefined) select.value = chosen;
    place.append(gpt.wrap("label", "gpt-option", `${label} `, select));
    return select;
};

gpt.fillSelect = function (select, choices) {
    select.replaceChildren(...choices.map((choice) => {
        const [value, text] = Array.isArray(choice) ? choice : [choice, choice];
        return Object.assign(gpt.make("option", "", text), { value });
    }));
};

gpt.checkbox = function (checked, onchange) {
    const box = gpt.make("input");
    box.type = "checkbox";
    box.checked = checked;
    box.onchange = () => onchange(box.checked);
    return box;
};

// A box to tick in `place`, with its label behind it.
gpt.option = function (place, label, onchange) {
    place.append(gpt.wrap("label", "gpt-option", gpt.checkbox(false, onchange), ` ${label}`));
};

// Call move(dx, dy, event) for each arrow key that is pressed in `element`: dx and dy are -1, 0 or 1. It returns false to keep the
// browser's default action for the key.
gpt.onArrowKey = function (element, move) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    element.addEventListener("keydown", (event) => {
        if (!(event.key in moves) || event.ctrlKey || event.metaKey) return;
        if (move(...moves[event.key], event) !== false) event.preventDefault();
    });
};

gpt.clamp = (value, end) => Math.min(Math.max(value, 0), end - 1);

// An entry of a legend: a mark in a colour, and a text.
gpt.legendEntry = function (colour, text) {
    const mark = gpt.make("i");
    mark.style.background = colour;
    return gpt.wrap("span", "", mark, text);
};

// A labelled bar: {label, share of the whole track, text of the number, title}
gpt.bar = function (label, share, number, title) {
    const fill = gpt.make("span", "gpt-bar-fill");
    fill.style.width = `${100 * share}%`;
    const row = gpt.wrap("div", "gpt-bar-row", gpt.make("code", "", label), gpt.wrap("span", "gpt-bar-track", fill), gpt.make("span", "gpt-number", number));
    if (title) row.title = title;
    return row;
};

// A column heading that sorts: a click changes `order` {key, descending} and calls draw(), which redraws the table in `frame`.
gpt.heading = function ({ key, label, title }, order, isNumber, frame, draw) {
    const name = `gpt-column-${key.replaceAll(" ", "-")}`, cell = gpt.make("th", name);
    const arrow = order.key === key ? (order.descending ? "\u00a0↓" : "\u00a0↑") : "";
    cell.classList.toggle("gpt-number", isNumber);
    cell.setAttribute("aria-sort", order.key === key ? (order.descending ? "descending" : "ascending") : "none");
    if (title) cell.title = title;
    cell.append(gpt.button(label + arrow, () => {
        order.descending = order.key === key && !order.descending;
        order.key = key;
        draw();
        frame.querySelector(`.${name} button`).focus();
    }, ""));
    return cell;
};

// Save a file that the page has made.
gpt.save = function (name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type }));
    gpt.download(name, address);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
};

gpt.download = function (name, address) {
    Object.assign(gpt.make("a"), { href: address, download: name }).click();
};

// Numbers and steps as text
gpt.percent = (share) => (share === null || share === undefined ? "" : `${Math.round(100 * share)} %`);
gpt.signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(Math.abs(number) < 0.1 ? 3 : 2);
gpt.stepLabel = (step) => step === null ? "best weights" : `step ${step.toLocaleString("en")}`;
