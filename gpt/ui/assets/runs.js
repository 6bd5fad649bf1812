// The Runs tab: a table to sort and select in, and the curves of the selected runs.

// {columns: [{key, label}], rows: [{name, ..., sort, note}], selected: [name], room: {taken, removed, trouble}}; triggers "select", and the
// names that are ticked then are in gpt.ticked.
// What is ticked here is the page's own business until a new table comes: drawing a choice must not take the keyboard away.
gpt.views.table = function (element, props, { watch, trigger }) {
    const order = { key: null, descending: false };
    let chosen = new Set();
    const value = () => ({ columns: [], rows: [], room: {}, ...props.value });
    const taken = gpt.make("p", "gpt-small"), removed = gpt.make("p", "gpt-small"), trouble = gpt.make("p", "gpt-warning");
    const frame = gpt.make("div", "gpt-scroll"), notes = gpt.make("div");
    for (const live of [removed, trouble, notes]) live.setAttribute("role", "status");
    element.replaceChildren(taken, removed, trouble, frame, notes);

    const box = (label, checked, onchange) => {
        const input = gpt.make("input");
        input.type = "checkbox";
        input.checked = checked;
        input.setAttribute("aria-label", label);
        input.onchange = () => onchange(input.checked);
        return input;
    };
    const choose = (names) => {
        chosen = new Set(names);
        tick();
        gpt.ticked = value().rows.map(({ name }) => name).filter((name) => chosen.has(name));
        trigger("select");
    };
    const tick = () => {                                            // what is chosen, shown in the table that is there
        const rows = value().rows, all = frame.querySelector("th input");
        frame.querySelectorAll("tbody tr").forEach((line) => {
            const ticked = chosen.has(line.dataset.name);
            line.querySelector("input").checked = ticked;
            line.classList.toggle("gpt-ticked", ticked);
        });
        if (all) {
            all.checked = rows.every(({ name }) => chosen.has(name));
            all.indeterminate = !all.checked && rows.some(({ name }) => chosen.has(name));
        }
        notes.replaceChildren(...rows.filter(({ name, note }) => note && chosen.has(name)).map(({ note }) => gpt.make("p", "gpt-error", note)));
    };

    const isNumber = (key) => value().rows.some(({ sort }) => typeof sort?.[key] === "number");
    const line = (columns, row) => {
        const made = gpt.make("tr"), cell = gpt.make("td");
        made.dataset.name = row.name;
        cell.append(box(`select run ${row.name}`, false, (on) => choose([...chosen, row.name].filter((name) => on || name !== row.name))));
        made.append(cell, ...columns.map(({ key }) => {
            const shown = gpt.make("td", `gpt-column-${key}`, row[key]);
            shown.classList.toggle("gpt-number", isNumber(key));
            if (key === "name") shown.title = row.name;             // a long one is cut
            return shown;
        }));
        return made;
    };
    const draw = () => {
        const { columns, rows } = value();
        if (!rows.length) {
            frame.replaceChildren(gpt.make("p", "gpt-empty", "No runs yet: train one in the Train tab."));
            return;
        }
        const worth = (row) => row.sort?.[order.key] ?? row[order.key];
        const compare = (a, b) => (worth(a) > worth(b) ? 1 : worth(a) < worth(b) ? -1 : 0) * (order.descending ? -1 : 1);
        const sorted = order.key ? [...rows].sort(compare) : rows;
        const table = gpt.make("table", "gpt-table"), head = gpt.make("thead"), body = gpt.make("tbody");
        const header = gpt.make("tr"), all = gpt.make("th");
        all.append(box("select all runs", false, (on) => choose(on ? rows.map(({ name }) => name) : [])));
        header.append(all, ...columns.map((column) => gpt.heading(column, order, isNumber(column.key), frame, draw)));
        head.append(header);
        body.append(...sorted.map((row) => line(columns, row)));
        table.append(head, body);
        frame.replaceChildren(table);
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

// Move the keyboard to a control that Gradio is about to show: the button of that id, or what can be typed into inside it.
gpt.focus = function (id, tries = 20) {
    const found = document.getElementById(id), control = found?.matches("button") ? found : found?.querySelector("input, textarea");
    if (control?.offsetParent) {
        control.focus();
        control.select?.();
    } else if (tries) setTimeout(() => gpt.focus(id, tries - 1), 25);
};

// A file that the server has made, brought to whoever asked for it: {path, name, press}, where press differs each time.
gpt.views.delivery = function (element, props, { watch }) {
    const trouble = gpt.make("p", "gpt-error");
    trouble.setAttribute("role", "status");
    element.replaceChildren(trouble);
    watch("value", async () => {
        const { path, name } = props.value || {};
        trouble.textContent = "";
        if (!path) return;
        const address = `gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
        const found = await fetch(address, { method: "HEAD" }).then(({ ok }) => ok, () => false);
        if (!found) {
            trouble.textContent = `${name} is made, but the server does not hand it out: try again, or look into the server's log.`;
            return;
        }
        const link = gpt.make("a");
        [link.href, link.download] = [address, name];
        link.click();
    });
};

// A figure from Python, or the sentence of an empty view: {figure} or {empty}
gpt.views.figure = function (element, props, { watch }) {
    const empty = gpt.make("p", "gpt-empty"), chart = gpt.make("div", "gpt-chart"), twin = gpt.make("p", "gpt-small");
    element.replaceChildren(empty, chart, twin);
    const plot = gpt.plot(chart, { height: 380, label: "curves of the selected runs" });
    const show = () => {
        const { figure, empty: sentence } = props.value || {};
        empty.textContent = sentence || "";
        chart.hidden = !figure;
        twin.textContent = figure?.layout?.meta?.description || "";
        if (!figure) return;
        figure.data.forEach((trace) => { trace.name = gpt.plain(trace.name); });
        plot.show(figure);
    };
    watch("value", show);
    show();
};
