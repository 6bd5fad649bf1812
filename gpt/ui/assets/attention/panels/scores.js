// Scores: every head's role, scores, chance and untrained scores as a table to sort and to save.

gpt.panels.push({
    order: 1,
    title: "Scores",
    build(element, explorer) {
        const { roles } = explorer, order = { key: "layer", descending: false };
        const frame = gpt.make("div", "gpt-scroll"), about = gpt.make("p", "gpt-small");
        const save = gpt.button("Download as CSV", () =>
            gpt.save(`${explorer.value.run}-heads.csv`, "text/csv", gpt.scoresAsCsv(roles.answer, explorer.effects)));
        element.append(about, frame, save);

        const draw = () => {
            frame.hidden = save.hidden = !roles.answer;
            about.textContent = roles.answer ? `Every head of ${explorer.value.run}, ${explorer.value.weights.split(", ").at(-1)}, on the same random and real text. ${roles.answer.note}` : "";
            if (roles.answer) frame.replaceChildren(gpt.scoresTable(explorer, order, frame, draw));
        };
        roles.listeners.push(draw);
        return { show: draw, select: draw };
    },
});

// The table, sorted by `order`; draw() draws it anew in `frame`.
gpt.scoresTable = function (explorer, order, frame, draw) {
    const { answer } = explorer.roles, effects = explorer.effects;
    const columns = [{ key: "layer", label: "head" }, { key: "role", label: "role" },
        ...answer.names.map((name) => ({ key: name, label: name, title: answer.about[name] })),
        ...(effects ? [{ key: "effect", label: "loss without it", title: "Change in loss, nats per token, when the head is taken out." }] : [])];
    const value = (entry, key) => {
        if (key === "layer") return 1000 * entry.layer + entry.head;
        if (key === "role") return entry.role || "\uffff";           // heads without a role come last
        return key === "effect" ? effects?.[`${entry.layer},${entry.head}`] ?? null : entry.scores[key];
    };
    const rank = (entry) => value(entry, order.key) ?? -Infinity;
    const compare = (a, b) => (rank(a) > rank(b) ? 1 : rank(a) < rank(b) ? -1 : 0) * (order.descending ? -1 : 1);
    const titles = gpt.wrap("tr", "", ...columns.map((column, i) => gpt.heading(column, order, i > 1, frame, draw)));
    const chance = columns.map(({ key }, i) => gpt.make("td", i > 1 ? "gpt-number" : "", i === 0 ? "" : i === 1 ? "chance" : answer.chance[key]?.toFixed(2) ?? ""));
    const rows = [...answer.heads].sort(compare).map((entry) => gpt.scoresRow(explorer, columns, entry, value));
    return gpt.wrap("table", "gpt-table gpt-scores", gpt.wrap("thead", "", titles),
        gpt.wrap("tbody", "", ...rows, gpt.wrap("tr", "gpt-beside", ...chance)));
};

// One head's row; a number's title says what it was untrained, and by chance.
gpt.scoresRow = function (explorer, columns, entry, value) {
    const { answer } = explorer.roles, { layer, head } = explorer.selected;
    const text = (key) => {
        if (key === "role") return entry.role ? `${entry.letter}  ${entry.role}` : "no clear role";
        const number = value(entry, key);
        if (number === null || number === undefined) return "";
        return key === "effect" ? gpt.signed(number) : number.toFixed(answer.decimals[key]);
    };
    const first = gpt.wrap("td", "", gpt.button(`${entry.layer}.${entry.head}`, () => explorer.select({ layer: entry.layer, head: entry.head })));
    const cells = columns.slice(1).map(({ key }, i) => {
        const cell = gpt.make("td", i ? "gpt-number" : "", text(key)), untrained = entry.untrained[key];
        if (untrained !== undefined && untrained !== null) cell.title = `untrained ${untrained.toFixed(2)}, chance ${answer.chance[key]?.toFixed(2)}`;
        return cell;
    });
    const row = gpt.wrap("tr", "", first, ...cells);
    row.classList.toggle("gpt-ticked", entry.layer === layer && entry.head === head);
    return row;
};

gpt.scoresAsCsv = function ({ names, heads, chance }, effects) {
    const lines = [
        ["layer", "head", "role", ...names, ...names.map((name) => `${name} (standard error)`), ...names.map((name) => `${name} (untrained)`), "loss without it"],
        ...heads.map((entry) => [entry.layer, entry.head, entry.role, ...names.map((name) => entry.scores[name]), ...names.map((name) => entry.errors[name]),
            ...names.map((name) => entry.untrained[name]), effects?.[`${entry.layer},${entry.head}`]]),
        ["", "", "chance", ...names.map((name) => chance[name])],
    ];
    return lines.map((cells) => cells.map((cell) => cell ?? "").join(",")).join("\n") + "\n";
};
