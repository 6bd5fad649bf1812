// Roles: a letter and a number in the corner of each head of the mosaic, the order of the heads, and the same as a table.

// A column's title that sorts. `order` {key, descending} is changed, and `draw` draws the table in `frame` anew.
gpt.heading = function ({ key, label, title }, order, isNumber, frame, draw) {
    const cell = gpt.make("th", `gpt-column-${key.replaceAll(" ", "-")}`), arrow = order.key === key ? (order.descending ? "\u00a0↓" : "\u00a0↑") : "";
    const button = gpt.make("button", "", label + arrow);
    cell.classList.toggle("gpt-number", isNumber);
    cell.setAttribute("aria-sort", order.key === key ? (order.descending ? "descending" : "ascending") : "none");
    if (title) cell.title = title;
    button.onclick = () => {
        order.descending = order.key === key && !order.descending;
        order.key = key;
        draw();
        frame.querySelector(`.gpt-column-${key.replaceAll(" ", "-")} button`).focus();
    };
    cell.append(button);
    return cell;
};

gpt.percent = (share) => (share === null || share === undefined ? "" : `${Math.round(100 * share)} %`);
gpt.signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(Math.abs(number) < 0.1 ? 3 : 2);

// Everything about roles that the explorer knows: {heads, names, chance, about, note}, asked for whenever something else is looked at.
// explorer.effects, "layer,head" -> change in loss without that head, is filled by the sweep (effects.js).
gpt.rolesOf = function (explorer) {
    const order = gpt.make("select"), option = gpt.make("label", "gpt-option", "order ");
    option.append(order);
    explorer.title.append(option);
    const roles = { answer: null, listeners: [] };
    let wanted = "layer";                                            // the order that was chosen; kept while there are no scores to order by
    const key = ({ layer, head }) => `${layer},${head}`;

    roles.of = (layer, head) => roles.answer?.heads.find((one) => one.layer === layer && one.head === head);

    const mark = () => {
        const { meta } = explorer.mosaic.figure.layout, by = order.value;
        meta.marks = meta.places.map(([layer, head]) => {
            const one = roles.of(layer, head), effect = explorer.effects?.[`${layer},${head}`];
            const number = by === "effect" && effect !== undefined ? gpt.signed(effect)
                : one && by in one.scores ? one.scores[by].toFixed(2) : effect !== undefined ? gpt.signed(effect) : gpt.percent(one?.value);
            return { letter: one?.letter || "", text: number };
        });
        explorer.mosaic.draw();
        roles.listeners.forEach((tell) => tell());
    };

    // From most to least, but by layer in the model's own order, and by role in the order of the scores.
    const sorted = () => {
        const heads = [...roles.answer.heads], by = order.value, names = roles.answer.names;
        const worth = by === "effect" ? (one) => explorer.effects?.[key(one)] ?? -Infinity : (one) => one.scores[by] ?? -Infinity;
        if (by === "role") {
            const rank = (one) => (one.role ? names.indexOf(one.role) : names.length);
            heads.sort((a, b) => rank(a) - rank(b) || (b.value ?? 0) - (a.value ?? 0));
        } else if (by !== "layer") heads.sort((a, b) => worth(b) - worth(a));
        return heads.map(({ layer, head }) => [layer, head]);
    };

    const arrange = async () => {
        const ordered = explorer.mosaic.figure.layout.meta.ordered;
        if (roles.answer && (order.value !== "layer" || ordered)) {
            const answer = await explorer.ask("mosaic", { order: sorted() });
            if (!answer) return;
            explorer.mosaic.figure = answer.mosaic;
            explorer.select({});
        }
        mark();
    };
    order.onchange = () => {
        wanted = order.value;
        return arrange();
    };

    const offer = () => {
        const names = ["layer", ...(roles.answer ? ["role", ...roles.answer.names] : []), ...(explorer.effects && roles.answer ? ["effect"] : [])];
        order.replaceChildren(...names.map((name) => gpt.make("option", "", name)));
        order.value = names.includes(wanted) ? wanted : "layer";
    };
    explorer.onEffects = () => {
        offer();
        arrange();
    };

    roles.show = async () => {
        roles.answer = null;
        offer();
        mark();
        roles.answer = await explorer.ask("roles", {}) ?? null;
        if (!explorer.value?.mosaic) return;
        offer();
        await arrange();
        explorer.tell();
    };

    // The same heads in other weights, each where it is.
    roles.follow = async () => {
        roles.answer = await explorer.ask("roles", {}) ?? roles.answer;
        mark();
        explorer.tell();
    };
    return roles;
};

gpt.panels.push({
    title: "Scores",
    build(element, explorer) {
        const { roles } = explorer, order = { key: "layer", descending: false };
        const frame = gpt.make("div", "gpt-scroll"), about = gpt.make("p", "gpt-small"), save = gpt.make("button", "gpt-link", "Download as CSV");
        element.append(about, frame, save);

        const columns = () => [{ key: "layer", label: "head" }, { key: "role", label: "role" },
            ...roles.answer.names.map((name) => ({ key: name, label: name, title: roles.answer.about[name] })),
            ...(explorer.effects ? [{ key: "effect", label: "loss without it", title: "Change in loss, nats per token, when the head is taken out." }] : [])];
        const value = (one, key) => {
            if (key === "layer") return 1000 * one.layer + one.head;
            if (key === "role") return one.role || "￿";              // heads without a role come last
            return key === "effect" ? explorer.effects?.[`${one.layer},${one.head}`] ?? null : one.scores[key];
        };
        const shown = (one, key) => {
            if (key === "layer") return `${one.layer}.${one.head}`;
            if (key === "role") return one.role ? `${one.letter}  ${one.role}` : "no clear role";
            const number = value(one, key);
            if (number === null || number === undefined) return "";
            return key === "effect" ? gpt.signed(number) : number.toFixed(roles.answer.decimals[key]);
        };

        const line = (one) => {
            const row = gpt.make("tr"), { layer, head } = explorer.selected;
            row.classList.toggle("gpt-ticked", one.layer === layer && one.head === head);
            row.append(...columns().map(({ key }, i) => {
                const cell = gpt.make("td", i > 1 ? "gpt-number" : "");
                if (i) cell.textContent = shown(one, key);
                else {
                    const button = gpt.make("button", "gpt-link", shown(one, key));
                    button.onclick = () => explorer.select({ layer: one.layer, head: one.head });
                    cell.append(button);
                }
                if (one.untrained[key] !== undefined && one.untrained[key] !== null) cell.title = `untrained ${one.untrained[key].toFixed(2)}, chance ${roles.answer.chance[key]?.toFixed(2)}`;
                return cell;
            }));
            return row;
        };
        const extra = (label, of) => {
            const row = gpt.make("tr", "gpt-beside");
            row.append(...columns().map(({ key }, i) => gpt.make("td", i > 1 ? "gpt-number" : "", i === 0 ? "" : i === 1 ? label : of(key)?.toFixed(2) ?? "")));
            return row;
        };

        const draw = () => {
            frame.hidden = save.hidden = !roles.answer;
            about.textContent = roles.answer ? `Every head of ${explorer.value.run}, ${explorer.value.weights.split(", ").at(-1)}, on the same random and real text. ${roles.answer.note}` : "";
            if (!roles.answer) return;
            const heads = [...roles.answer.heads].sort((a, b) => {
                const [x, y] = [value(a, order.key) ?? -Infinity, value(b, order.key) ?? -Infinity];
                return (x > y ? 1 : x < y ? -1 : 0) * (order.descending ? -1 : 1);
            });
            const table = gpt.make("table", "gpt-table gpt-scores"), head = gpt.make("thead"), body = gpt.make("tbody"), titles = gpt.make("tr");
            titles.append(...columns().map((column, i) => gpt.heading(column, order, i > 1, frame, draw)));
            head.append(titles);
            body.append(...heads.map(line), extra("chance", (key) => roles.answer.chance[key]));
            table.append(head, body);
            frame.replaceChildren(table);
        };
        save.onclick = () => {
            const names = roles.answer.names;
            const lines = [["layer", "head", "role", ...names, ...names.map((name) => `${name} (standard error)`), ...names.map((name) => `${name} (untrained)`), "loss without it"],
                ...roles.answer.heads.map((one) => [one.layer, one.head, one.role, ...names.map((name) => one.scores[name]), ...names.map((name) => one.errors[name]),
                    ...names.map((name) => one.untrained[name]), explorer.effects?.[`${one.layer},${one.head}`]]),
                ["", "", "chance", ...names.map((name) => roles.answer.chance[name])]];
            gpt.save(`${explorer.value.run}-heads.csv`, "text/csv", lines.map((cells) => cells.map((cell) => cell ?? "").join(",")).join("\n") + "\n");
        };
        roles.listeners.push(draw);
        return { show: draw, select: draw };
    },
});

// Hand the person a file that the page has made.
gpt.save = function (name, type, content) {
    const link = gpt.make("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
