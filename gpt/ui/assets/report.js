// The report of a run, built from the JSON that it carries (gpt/ui/inspector/report.py). User text goes through textContent only.
const page = document.getElementById("report");
const add = (tag, text, className, parent = page) => parent.appendChild(gpt.make(tag, className, text));
const addList = (texts) => page.append(gpt.wrap("ul", "", ...texts.map((text) => gpt.make("li", "", text))));
const addChart = (figure, options) => gpt.plot(add("div", undefined, "gpt-chart"), options).show(figure);

// titles: [{label, title, number}], rows: [{cells: [text], className}]
function addTable(titles, rows, className) {
    const head = titles.map(({ label, title, number }) => Object.assign(gpt.make("th", number ? "gpt-number" : "", label), { title: title || "" }));
    const lines = rows.map(({ cells, className }) =>
        gpt.wrap("tr", className, ...cells.map((cell, i) => gpt.make("td", titles[i].number ? "gpt-number" : "", cell))));
    page.append(gpt.wrap("div", "gpt-scroll", gpt.wrap("table", className,
        gpt.wrap("thead", "", gpt.wrap("tr", "", ...head)), gpt.wrap("tbody", "", ...lines))));
}

function addLearning(contents) {
    add("h2", "Learning");
    add("p", "The loss says how surprised the model is by each next token, in nats; the validation loss says it of text that the model never trains on.", "gpt-small");
    const { chart, rows } = contents.loss;
    gpt.drawCurves(chart, rows, "step");
    addChart(chart, { height: 340, label: "training and validation loss over steps" });
    if (contents.formed.length) addList(contents.formed.map(({ text }) => text));
    if (contents.context) {
        add("h2", "Loss by context");
        add("p", gpt.ABOUT_CONTEXT, "gpt-small");
        addChart(contents.context, { height: 300, label: "loss by context" });
    }
    if (!contents.samples.length) return;
    add("h2", "What it wrote");
    add("p", "Always from the same beginning, in grey, and with the same random numbers.", "gpt-small");
    for (const { step, prompt, text } of contents.samples) {
        const written = gpt.wrap("p", "gpt-written", gpt.make("span", "gpt-prompt", prompt), text);
        page.append(gpt.wrap("figure", "gpt-sample", gpt.make("figcaption", "gpt-small", `step ${step.toLocaleString("en")}`), written));
    }
}

function addHeads({ heads, mosaic, text, note, names, about, chance, decimals }) {
    add("h2", "What its heads do");
    add("p", "All heads of the best weights on the last text above: rows are the tokens being processed, columns the tokens they read; bright is what a head reads more of than an even spread would. "
        + "A letter names what a head mostly does, with how much of its attention goes there.", "gpt-small");
    const plot = gpt.plot(add("div", undefined, "gpt-chart"), { aspect: 1.25, label: "attention of all heads" });
    plot.fit = gpt.markHeads;
    plot.show(mosaic);
    const words = add("p", undefined, "gpt-words");
    for (const label of text) words.append(gpt.make("span", "gpt-word", label), " ");
    if (note) add("p", note, "gpt-warning");
    const clear = heads.filter(({ role }) => role);
    if (clear.length) addList(clear.map(({ sentence }) => sentence));
    if (!heads.length) return;
    const numbers = (values) => names.map((name) => values[name]?.toFixed(decimals[name]) ?? "");
    const average = Object.fromEntries(names.map((name) => [name, heads.reduce((sum, { untrained }) => sum + untrained[name], 0) / heads.length]));
    const rows = heads.map(({ layer, head, role, scores }) => ({ cells: [`${layer}.${head}`, role || "no clear role", ...numbers(scores)] }));
    if (heads[0].untrained[names[0]] !== undefined) rows.push({ className: "gpt-beside", cells: ["", "untrained, on average", ...numbers(average)] });
    rows.push({ className: "gpt-beside", cells: ["", "chance", ...numbers(chance)] });
    addTable([{ label: "head" }, { label: "role" }, ...names.map((label) => ({ label, title: about[label], number: true }))], rows, "gpt-table");
}

function addTheRest(contents) {
    add("h2", "To think about");
    addList(contents.questions);
    add("h2", "To make it again");
    add("pre", contents.command);
    addTable([{ label: "" }, { label: "" }], contents.facts.map((cells) => ({ cells })));
    add("h2", "CONFIG");
    add("p", "Bold where it differs from the default.", "gpt-small");
    addTable([{ label: "setting" }, { label: "value" }, { label: "what it is" }],
        contents.config.map(([name, value, help, changed]) => ({ cells: [name, value, help], className: changed ? "gpt-changed" : "" })));
}

const contents = JSON.parse(document.getElementById("contents").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.onchange = () => document.body.classList.toggle("dark", dark.matches);
dark.onchange();
add("h1", contents.name);
add("p", contents.summary, "gpt-lead");
addLearning(contents);
addHeads(contents.heads);
addTheRest(contents);
