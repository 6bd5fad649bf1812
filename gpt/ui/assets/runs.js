// The Runs tab: a table to sort and select in, and the curves of the selected runs.

// {columns: [{key, label}], rows: [{name, ...}], selected: [name]}; triggers "select" with {names}
gpt.views.table = function (element, props, { watch, trigger }) {
    let order = null, descending = false;
    const show = () => {
        const { columns = [], rows = [], selected = [] } = props.value || {};
        if (!rows.length) {
            element.replaceChildren(gpt.make("p", "gpt-empty", "No runs yet: train one in the Train tab."));
            return;
        }
        const chosen = new Set(selected), table = gpt.make("table", "gpt-table"), header = gpt.make("tr");
        header.append(gpt.make("th"));
        for (const { key, label } of columns) {
            const cell = gpt.make("th"), button = gpt.make("button", "", label + (order === key ? (descending ? " ↓" : " ↑") : ""));
            cell.setAttribute("aria-sort", order === key ? (descending ? "descending" : "ascending") : "none");
            button.onclick = () => { descending = order === key && !descending; order = key; show(); };
            cell.append(button);
            header.append(cell);
        }
        const head = gpt.make("thead"), body = gpt.make("tbody");
        head.append(header);
        const value = (row) => row.sort?.[order] ?? row[order];
        const sorted = order ? [...rows].sort((a, b) => (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0) * (descending ? -1 : 1)) : rows;
        for (const row of sorted) {
            const line = gpt.make("tr"), box = gpt.make("input"), cell = gpt.make("td");
            box.type = "checkbox";
            box.checked = chosen.has(row.name);
            box.setAttribute("aria-label", `select run ${row.name}`);
            box.onchange = () => {
                if (box.checked) chosen.add(row.name); else chosen.delete(row.name);
                trigger("select", { names: rows.map(({ name }) => name).filter((name) => chosen.has(name)) });
            };
            cell.append(box);
            line.append(cell, ...columns.map(({ key }) => gpt.make("td", typeof row.sort?.[key] === "number" ? "gpt-number" : "", row[key])));
            body.append(line);
        }
        table.append(head, body);
        element.replaceChildren(table);
    };
    watch("value", show);
    show();
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
