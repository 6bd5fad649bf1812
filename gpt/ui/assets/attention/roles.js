// Roles: a letter and a number in the corner of each head of the mosaic, and the order of the heads. scores.js has the same as a table.

// `roles.answer` is what the server knows of the heads: {heads, clearest, names, chance, about, decimals, note}, requested for each inspection.
// explorer.effects, "layer,head" -> change in loss without that head, is filled by sweep.js, which then calls explorer.onEffects.
gpt.rolesOf = function (explorer) {
    const order = gpt.select(explorer.title, "order", []);
    const roles = { answer: null, listeners: [] };
    let wanted = "layer";                                            // the order that was chosen; kept while there are no scores to order by
    roles.of = (layer, head) => roles.answer?.heads.find((entry) => entry.layer === layer && entry.head === head);

    const mark = () => {
        const { meta } = explorer.mosaic.figure.layout;
        meta.marks = meta.places.map(([layer, head]) =>
            gpt.headMark(roles.of(layer, head), explorer.effects?.[`${layer},${head}`], order.value));
        explorer.mosaic.frame();
        roles.listeners.forEach((listener) => listener());
    };
    const arrange = async () => {
        const ordered = explorer.mosaic.figure.layout.meta.ordered;
        if (roles.answer && (order.value !== "layer" || ordered)) {
            const answer = await explorer.ask("mosaic", { order: gpt.orderedHeads(roles.answer, explorer.effects, order.value) });
            if (!answer) return;
            explorer.mosaic.figure = answer.mosaic;
            explorer.select({});
        }
        mark();
    };
    const offer = () => {
        const names = ["layer", ...(roles.answer ? ["role", ...roles.answer.names] : []), ...(explorer.effects && roles.answer ? ["effect"] : [])];
        gpt.fillSelect(order, names);
        order.value = names.includes(wanted) ? wanted : "layer";
    };
    order.onchange = () => {
        wanted = order.value;
        return arrange();
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
        if (roles.answer && !explorer.isChosen) {                    // nobody has chosen a head yet: begin with the one that does most clearly something
            const [layer, head] = roles.answer.clearest ?? [0, 0];
            explorer.select({ layer, head });                        // and stay there when other weights of the run are shown
        }
        await arrange();
        explorer.describe();
    };
    // The same heads in other weights, each where it is.
    roles.follow = async () => {
        roles.answer = await explorer.ask("roles", {}) ?? roles.answer;
        mark();
        explorer.describe();
    };
    return roles;
};

// {letter, text, isNoise} of a head: its role, and the number by which the heads are ordered, else its effect or its role's score, for the
// corner of its tile; and whether it is known to have no clear role.
gpt.headMark = function (entry, effect, order) {
    const text = order === "effect" && effect !== undefined ? gpt.signed(effect)
        : entry && order in entry.scores ? entry.scores[order].toFixed(2) : effect !== undefined ? gpt.signed(effect) : gpt.percent(entry?.value);
    return { letter: entry?.letter || "", text, isNoise: Boolean(entry && !entry.role) };
};

// [[layer, head]] from most to least, but by layer in the model's own order, and by role in the order of the scores.
gpt.orderedHeads = function ({ heads, names }, effects, order) {
    const sorted = [...heads];
    if (order === "role") {
        const rank = ({ role }) => (role ? names.indexOf(role) : names.length);
        sorted.sort((a, b) => rank(a) - rank(b) || (b.value ?? 0) - (a.value ?? 0));
    } else if (order !== "layer") {
        const worth = ({ layer, head, scores }) => (order === "effect" ? effects?.[`${layer},${head}`] : scores[order]) ?? -Infinity;
        sorted.sort((a, b) => worth(b) - worth(a));
    }
    return sorted.map(({ layer, head }) => [layer, head]);
};
