// The report of a run, built from the JSON that it carries (gpt/ui/inspector/report.py). User text goes through textContent only.
(() => {
    const contents = JSON.parse(document.getElementById("contents").textContent);
    const page = document.getElementById("report");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => document.body.classList.toggle("dark", dark.matches);
    dark.onchange = paint;
    paint();

    const add = (tag, text, className, parent = page) => parent.appendChild(gpt.make(tag, className, text));
    const chart = (figure, options) => gpt.plot(add("div", undefined, "gpt-chart"), options).show(figure);
    const table = (titles, rows, className) => {
        const frame = add("div", undefined, "gpt-scroll"), made = add("table", undefined, className, frame);
        const head = add("tr", undefined, undefined, add("thead", undefined, undefined, made));
        for (const { label, title, number } of titles) add("th", label, number ? "gpt-number" : "", head).title = title || "";
        const body = add("tbody", undefined, undefined, made);
        for (const { cells, className } of rows) {
            const line = add("tr", undefined, className, body);
            cells.forEach((cell, i) => add("td", cell, titles[i].number ? "gpt-number" : "", line));
        }
    };

    add("h1", contents.name);
    add("p", contents.summary, "gpt-lead");

    add("h2", "Learning");
    add("p", "The loss says how surprised the model is by each next token, in nats; the validation loss says it of text that the model never trains on.", "gpt-small");
    chart(contents.loss, { height: 340, label: "training and validation loss over steps" });
    if (contents.formed.length) {
        const list = add("ul");
        for (const { text } of contents.formed) add("li", text, "", list);
    }

    if (contents.samples.length) {
        add("h2", "What it wrote");
        add("p", "Always from the same beginning, in grey, and with the same luck.", "gpt-small");
        for (const { step, prompt, text } of contents.samples) {
            const sample = add("figure", undefined, "gpt-sample"), words = gpt.make("p", "gpt-written");
            words.append(gpt.make("span", "gpt-prompt", prompt), text);
            sample.append(gpt.make("figcaption", "gpt-small", `step ${step.toLocaleString("en")}`), words);
        }
    }

    const { heads } = contents;
    add("h2", "What its heads do");
    add("p", "All heads of the best weights on the last text above: rows are the tokens being read, columns the tokens they look at, brighter is more. "
        + "A letter names what a head mostly does, with how much of its attention goes there.", "gpt-small");
    const mosaic = gpt.plot(add("div", undefined, "gpt-chart"), { aspect: 1.25, label: "attention of all heads" });
    mosaic.fit = gpt.marked;
    mosaic.show(heads.mosaic);
    const text = add("p", undefined, "gpt-words");
    for (const label of heads.text) text.append(gpt.make("span", "gpt-word", label), " ");
    if (heads.note) add("p", heads.note, "gpt-warning");
    const clear = heads.heads.filter(({ role }) => role);
    if (clear.length) {
        const list = add("ul");
        for (const { sentence } of clear) add("li", sentence, "", list);
    }
    if (heads.heads.length) {
        const shown = heads.names, number = (value, name) => value?.toFixed(heads.decimals[name]) ?? "";
        const titles = [{ label: "head" }, { label: "role" }, ...shown.map((label) => ({ label, title: heads.about[label], number: true }))];
        const rows = heads.heads.map((one) => ({ cells: [`${one.layer}.${one.head}`, one.role || "no clear role", ...shown.map((name) => number(one.scores[name], name))] }));
        const first = heads.heads[0].untrained[shown[0]] === undefined ? [] : [{ className: "gpt-beside",
            cells: ["", "untrained, on average", ...shown.map((name) => number(heads.heads.reduce((sum, one) => sum + one.untrained[name], 0) / heads.heads.length, name))] }];
        table(titles, [...rows, ...first, { className: "gpt-beside", cells: ["", "chance", ...shown.map((name) => number(heads.chance[name], name))] }], "gpt-table");
    }

    add("h2", "To think about");
    const questions = add("ul");
    for (const question of contents.questions) add("li", question, "", questions);

    add("h2", "To make it again");
    add("pre", contents.command);
    table([{ label: "" }, { label: "" }], contents.facts.map((cells) => ({ cells })));
    add("h2", "CONFIG");
    add("p", "Bold where it differs from the default.", "gpt-small");
    table([{ label: "setting" }, { label: "value" }, { label: "what it is" }],
        contents.config.map(([name, value, help, changed]) => ({ cells: [name, value, help], className: changed ? "gpt-changed" : "" })));
})();
