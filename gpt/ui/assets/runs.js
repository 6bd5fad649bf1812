// The Runs tab: a table to sort and select in, and the curves of the selected runs.

// {columns: [{key, label}], rows: [{name, ..., sort, note}], selected: [name], room: {taken, removed, trouble}}; triggers "select", with
// the selected names in gpt.ticked. Until a new value arrives the page itself keeps the selection: showing it must not redraw the table,
// which would lose the keyboard focus.
gpt.views.table = function (element, props, { watch, trigger }) {
    const order = { key: null, descending: false };
    let chosen = new Set();
    const value = () => ({ columns: [], rows: [], room: {}, ...props.value });
    const taken = gpt.make("p", "gpt-small"), removed = gpt.live(gpt.make("p", "gpt-small")), trouble = gpt.live(gpt.make("p", "gpt-warning"));
    const frame = gpt.make("div", "gpt-scroll"), notes = gpt.live(gpt.make("div"));
    element.replaceChildren(taken, removed, trouble, frame, notes);

    const choose = (names) => {
        chosen = new Set(names);
        tick();
        trigger("select");
    };
    gpt.chooseRuns = choose;
    const toggle = (name, on) => choose([...chosen, name].filter((other) => on || other !== name));
    const tick = () => {                                            // what is chosen, shown in the table that is there
        const { rows } = value();
        gpt.ticked = rows.map(({ name }) => name).filter((name) => chosen.has(name));
        gpt.tickRows(frame, rows, chosen);
        gpt.link.tell("runs", { run: gpt.ticked });
        notes.replaceChildren(...rows.filter(({ name, note }) => note && chosen.has(name)).map(({ note }) => gpt.make("p", "gpt-error", note)));
    };
    const draw = () => {
        const { columns, rows } = value();
        if (!rows.length) {
            frame.replaceChildren(gpt.make("p", "gpt-empty", "No runs yet: train one in the Train tab."));
            gpt.ticked = [];
            return;
        }
        const isNumber = (key) => rows.some(({ sort }) => typeof sort?.[key] === "number");
        const all = gpt.tickBox("select all runs", (on) => choose(on ? rows.map(({ name }) => name) : []));
        const titles = columns.map((column) => gpt.heading(column, order, isNumber(column.key), frame, draw));
        const lines = gpt.sortedRows(rows, order).map((row) => gpt.runRow(row, columns, isNumber, toggle));
        frame.replaceChildren(gpt.wrap("table", "gpt-table", gpt.wrap("thead", "", gpt.wrap("tr", "", gpt.wrap("th", "", all), ...titles)),
            gpt.wrap("tbody", "", ...lines)));
        tick();
    };
    const show = () => {
        const { room, selected = [] } = value();
        taken.textContent = room.taken || "";
        removed.textContent = room.removed || "";
        trouble.textContent = room.trouble || "";
        chosen = new Set(selected);
        notes.replaceChildren();
        draw();
    };
    watch("value", show);
    show();
};

gpt.tickBox = function (label, onchange) {
    const box = gpt.checkbox(false, onchange);
    box.setAttribute("aria-label", label);
    return box;
};

gpt.sortedRows = function (rows, { key, descending }) {
    const worth = (row) => row.sort?.[key] ?? row[key];
    const compare = (a, b) => (worth(a) > worth(b) ? 1 : worth(a) < worth(b) ? -1 : 0) * (descending ? -1 : 1);
    return key ? [...rows].sort(compare) : rows;
};

gpt.runRow = function (row, columns, isNumber, toggle) {
    const cells = columns.map(({ key }) => {
        const cell = gpt.make("td", `gpt-column-${key}`, row[key]);
        cell.classList.toggle("gpt-number", isNumber(key));
        if (key === "name") cell.title = row.name;                  // a long one is cut
        return cell;
    });
    const line = gpt.wrap("tr", "", gpt.wrap("td", "", gpt.tickBox(`select run ${row.name}`, (on) => toggle(row.name, on))), ...cells);
    line.dataset.name = row.name;
    return line;
};

// Tick the rows whose names are in `chosen`, and the box for all.
gpt.tickRows = function (frame, rows, chosen) {
    frame.querySelectorAll("tbody tr").forEach((line) => {
        const ticked = chosen.has(line.dataset.name);
        line.querySelector("input").checked = ticked;
        line.classList.toggle("gpt-ticked", ticked);
    });
    const all = frame.querySelector("th input");
    if (!all) return;
    all.checked = rows.every(({ name }) => chosen.has(name));
    all.indeterminate = !all.checked && rows.some(({ name }) => chosen.has(name));
};

// Move the keyboard focus to a control that Gradio is about to show: the button with that id, or the text field inside the element.
gpt.focus = function (id, tries = 20) {
    const element = document.getElementById(id), control = element?.matches("button") ? element : element?.querySelector("input, textarea");
    if (control?.offsetParent) {
        control.focus();
        control.select?.();
    } else if (tries) setTimeout(() => gpt.focus(id, tries - 1), 25);
};

// A file that the server has made, downloaded by the page that asked for it: {path, name, press}, where press differs each time.
gpt.views.delivery = function (element, props, { watch }) {
    const trouble = gpt.live(gpt.make("p", "gpt-error"));
    element.replaceChildren(trouble);
    watch("value", async () => {
        const { path, name } = props.value || {};
        trouble.textContent = "";
        if (!path) return;
        const address = `gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
        if (!await fetch(address, { method: "HEAD" }).then(({ ok }) => ok, () => false)) {
            trouble.textContent = `${name} is made, but the server does not hand it out: try again, or look into the server's log.`;
            return;
        }
        gpt.download(name, address);
    });
};

// What the CONFIGs of runs differ in: {names, rows: [[setting, its value in each]]}
gpt.differencesTable = function ({ names, rows }) {
    if (!rows.length) return gpt.make("p", "gpt-sentence", "Their settings are the same.");
    const line = (tag, cells) => gpt.wrap("tr", "", ...cells.map((cell) => gpt.make(tag, "", cell)));
    return gpt.wrap("div", "gpt-scroll", gpt.wrap("table", "gpt-table gpt-settings-table",
        gpt.wrap("thead", "", line("th", ["differs in", ...names])), gpt.wrap("tbody", "", ...rows.map((row) => line("td", row)))));
};

// A figure from Python, with what the runs in it differ in, or the sentence of an empty view: {figure, context, differences} or {empty}.
// Where its traces carry numbers to draw them over, as the curves of runs do, a person chooses among them. `context` is a second figure.
gpt.views.figure = function (element, props, { watch }) {
    const empty = gpt.make("p", "gpt-empty"), settings = gpt.make("div"), chart = gpt.make("div", "gpt-chart"), twin = gpt.make("p", "gpt-small");
    const axes = gpt.axisOptions([...gpt.AXES].reverse(), () => draw());
    const context = gpt.contextChart();
    element.replaceChildren(empty, settings, chart, axes.element, twin, context.element, gpt.wrap("p", "gpt-copy", gpt.copyLink()));
    const plot = gpt.plot(chart, { height: 380, label: "curves of the selected runs" });
    const draw = (figure = plot.figure) => {
        const { data, layout } = figure;
        axes.element.hidden = !data[0]?.meta;
        if (data[0]?.meta) {
            data.forEach((trace) => { trace.x = trace.meta[axes.over]; });
            Object.assign(layout.xaxis, { type: axes.log.x, title: { text: axes.title() } });
            Object.assign(layout.yaxis, { type: axes.log.y });
            layout.uirevision = [axes.over, axes.log.x, axes.log.y].join(" ");
        }
        plot.show(figure);
    };
    const show = () => {
        const { figure, context: second, differences, empty: sentence } = props.value || {};
        empty.textContent = sentence || "";
        settings.replaceChildren(...(differences ? [gpt.differencesTable(differences)] : []));
        chart.hidden = !figure;
        axes.element.hidden = true;
        twin.textContent = figure?.layout?.meta?.description || "";
        context.show(second);
        if (!figure) return;
        figure.data.forEach((trace) => { trace.name = gpt.plain(trace.name); });
        draw(figure);
    };
    watch("value", show);
    show();
};

// The loss by how many tokens the model can look back on, if it was measured.
gpt.contextChart = function () {
    const title = gpt.make("h3", "", "Loss by context"), chart = gpt.make("div", "gpt-chart"), twin = gpt.make("p", "gpt-small");
    const about = gpt.make("p", "gpt-small", gpt.ABOUT_CONTEXT);
    const element = gpt.wrap("div", "", title, about, chart, twin);
    let plot = null;
    const show = (figure) => {
        element.hidden = !figure;
        if (!figure) return;
        twin.textContent = figure.layout.meta.description;
        figure.data.forEach((trace) => { trace.name = gpt.plain(trace.name); });
        plot ??= gpt.plot(chart, { height: 300, label: "loss by context" });
        plot.show(figure);
    };
    return { element, show };
};
