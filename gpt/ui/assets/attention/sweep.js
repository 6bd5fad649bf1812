// Every head taken out alone, one layer after the other; beside it the importance of all heads by gradient. The results stand in
// explorer.effects, {"layer,head": change of the loss in nats per token}; explorer.onEffects() shows them on the mosaic.

gpt.MOST_EFFECTS = 12;                                               // heads shown in numbers, the largest effects first

gpt.sweep = function (element, explorer, replacedBy) {
    const begin = gpt.button("Try every head", () => run(), "gpt-button"), stop = gpt.button("Stop", () => rest(stopped()), "gpt-button");
    const status = gpt.live(gpt.make("span", "gpt-small")), done = gpt.make("span"), progress = gpt.wrap("div", "gpt-progress", done);
    const bars = gpt.make("div", "gpt-panes");
    element.append(gpt.wrap("div", "gpt-every", begin, stop, status), progress, bars, gpt.make("p", "gpt-small",
        "A role says what a head looks at; taking it out says what the model loses without it. A head may look at much and matter little, "
        + "and heads that do the same work hide each other: without one of them, nothing is lost."));
    stop.hidden = progress.hidden = true;
    let results = { changes: {}, errors: {}, gradient: {} }, model = "", running = null;

    const modelOf = (value) => `${value.run}\n${value.weights}`;
    const forget = () => {
        results = { changes: {}, errors: {}, gradient: {} };
        model = modelOf(explorer.value);
    };
    const publish = () => {
        explorer.effects = results.changes;
        explorer.onEffects?.();
        explorer.describe();
    };
    const draw = () => bars.replaceChildren(...gpt.sweepBars(explorer, results));
    const rest = (text) => {
        running = null;
        begin.hidden = false;
        stop.hidden = progress.hidden = true;
        status.textContent = text;
        draw();
    };
    const stopped = () => `Stopped: ${Object.keys(results.changes).length} heads were tried.`;
    const run = async () => {
        const mine = running = {}, value = explorer.value, replace = replacedBy(), { layers, heads } = value.mosaic.layout.meta;
        forget();
        publish();
        begin.hidden = true;
        stop.hidden = progress.hidden = false;
        done.style.width = "0";
        const show = (share, text) => {
            done.style.width = `${100 * share}%`;
            status.textContent = text;
            draw();
        };
        const sequences = await gpt.sweepLayers(explorer, replace, results, () => running === mine, show, publish);
        if (running !== mine) return;
        if (!sequences) return rest(explorer.value === value ? gpt.NOT_MEASURED : stopped());
        const by = replace === "mean" ? "its mean" : "zero", on = sequences === 1 ? "one sequence" : `${sequences} sequences`;
        rest(`Each of ${layers * heads} heads replaced by ${by}, on ${on} of the validation text.`);
    };

    return {
        show() {                                                     // effects belong to a model, not to a prompt
            if (running) rest(stopped());
            if (model !== modelOf(explorer.value)) {
                forget();
                status.textContent = "";
            }
            draw();
            if (Object.keys(results.changes).length && explorer.effects !== results.changes) publish();
        },
    };
};

// Fill `results`, one layer after the other, as long as goesOn(). Returns how many sequences each head was measured on; undefined if the
// server refused, or it was stopped.
gpt.sweepLayers = async function (explorer, replace, results, goesOn, show, publish) {
    const { layers, heads } = explorer.value.mosaic.layout.meta;
    show(0, "The importance of all heads by gradient.");
    const answer = await explorer.ask("importance", {});
    if (!answer || !goesOn()) return undefined;
    answer.importance.forEach((row, layer) => row.forEach((number, head) => { results.gradient[`${layer},${head}`] = number; }));
    let sequences;
    for (let layer = 0; layer < layers; layer++) {
        show(layer / layers, `Layer ${layer} of 0 to ${layers - 1}: its ${heads} heads are taken out, one at a time.`);
        const answer = await explorer.ask("sweep", { layer, replace });
        if (!answer || !goesOn()) return undefined;
        answer.changes.forEach(([change, error], head) => {
            results.changes[`${layer},${head}`] = change;
            results.errors[`${layer},${head}`] = error;
        });
        sequences = answer.sequences;
        publish();
    }
    return sequences;
};

// The largest effects as two lists of bars.
gpt.sweepBars = function (explorer, { changes, errors, gradient }) {
    const list = (title, numbers, textOf) => {
        const largest = Object.entries(numbers).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, gpt.MOST_EFFECTS);
        const most = Math.max(Math.abs(largest[0][1]), 1e-9);
        return gpt.wrap("div", "", gpt.make("p", "gpt-small", title), ...largest.map(([name, value]) => {
            const [layer, head] = name.split(",").map(Number), row = gpt.bar("", Math.abs(value) / most, textOf(name, value));
            row.firstChild.replaceWith(gpt.button(`layer ${layer} head ${head}`, () => explorer.select({ layer, head })));
            row.classList.add("gpt-wide-number");
            return row;
        }));
    };
    const signed = (name, value) => {
        const error = errors[name] === null ? "" : ` \u00b1 ${errors[name].toFixed(3)}`;
        return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(3) + error;
    };
    return [
        ...(Object.keys(changes).length ? [list("Taken out, one at a time: change of the loss in nats per token \u00b1 its standard error", changes, signed)] : []),
        ...(Object.keys(gradient).length ? [list("By gradient, all heads at once: the change if the loss were a straight line", gradient, (_, value) => value.toFixed(3))] : []),
    ];
};
