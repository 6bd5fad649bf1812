// What it does: heads are taken out of the model, and what it loses without them is told. One head alone, several, or every head in turn.

gpt.NOT_MEASURED = "It could not be measured: what stands in the way is told at the top.";
gpt.MOST_EFFECTS = 12;                                               // heads told in numbers, the largest effects first

gpt.panels.push({
    title: "What it does",
    build(element, explorer) {
        const sentence = gpt.make("p", "gpt-sentence"), status = gpt.make("p", "gpt-small"), found = gpt.make("div");
        const grid = gpt.headGrid(explorer, () => measure()), replace = gpt.replacedBy(() => measure());
        const settings = gpt.make("div", "gpt-settings gpt-taking");
        const every = gpt.make("div");
        sentence.setAttribute("role", "status");
        settings.append(replace.element, grid.reset);
        element.append(gpt.make("p", "gpt-small", "Taken out:"), grid.element, settings, sentence, status, found, every);
        const sweep = gpt.sweep(every, explorer, () => replace.value);

        // One question at a time: walking over many heads asks only about the last of them.
        let busy = false, again = false, told = {};                  // told: what the answer that is shown was asked
        const measure = async () => {
            again = true;
            if (busy) return;
            busy = true;
            while (again) {
                again = false;
                await measured();
            }
            busy = false;
        };
        const measured = async () => {
            const heads = grid.heads(), question = { heads, replace: replace.value, query: explorer.selected.query };
            const all = JSON.stringify(question), value = explorer.value;
            if (all === told.question && value === told.value) return;
            told = {};
            delete element.dataset.shown;
            if (!heads.length) return tell(null, "Choose at least one head above, or a whole layer.");
            const slow = setTimeout(() => { status.textContent = "The model is measured without it."; }, 400);
            const answer = await explorer.ask("effect", question);
            clearTimeout(slow);
            if (again) return;
            if (answer) told = { question: all, value };
            tell(answer, answer ? "" : gpt.NOT_MEASURED);
            if (answer) element.dataset.shown = `${heads.join(" ")} ${replace.value}`;
        };
        const tell = (answer, words) => {
            status.textContent = words;
            sentence.textContent = answer?.sentence || "";
            found.replaceChildren(...(answer ? gpt.effectOf(answer) : []));
        };

        const show = () => {
            grid.show();
            sweep.show();
            measure();
        };
        const select = () => {
            grid.show();
            measure();
        };
        return { show, select };
    },
});

gpt.replacedBy = function (changed) {
    const element = gpt.make("label", "gpt-option", "what it says is replaced by "), select = gpt.make("select");
    for (const [value, text] of [["mean", "its mean"], ["zero", "zero"]]) {
        const option = gpt.make("option", "", text);
        option.value = value;
        select.append(option);
    }
    select.onchange = changed;
    element.append(select);
    return { element, get value() { return select.value; } };
};

// A button for each head and each layer. It follows the selected head until a person chooses here, and again after `reset`.
gpt.headGrid = function (explorer, changed) {
    const element = gpt.make("div", "gpt-scroll"), reset = gpt.make("button", "gpt-link", "Only the selected head");
    const chosen = new Set();
    let own = false, shape = "", at = [0, 0], buttons = [];         // rows of buttons, each with its layer's first
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", "Heads to take out. Arrow keys move, Enter chooses.");

    const build = (layers, heads) => {
        buttons = Array.from({ length: layers }, (_, layer) => {
            const mine = Array.from({ length: heads }, (_, head) => `${layer},${head}`);
            const whole = gpt.make("button", "gpt-take-layer", `layer ${layer}`);
            whole.setAttribute("aria-label", `all of layer ${layer}`);
            whole.onclick = () => {
                const all = mine.every((name) => chosen.has(name));
                choose(() => mine.forEach((name) => all ? chosen.delete(name) : chosen.add(name)));
            };
            return [whole, ...mine.map((name, head) => {
                const one = gpt.make("button", "gpt-take", String(head));
                one.setAttribute("aria-label", `layer ${layer} head ${head}`);
                one.dataset.head = name;
                one.onclick = () => choose(() => chosen.delete(name) || chosen.add(name));
                return one;
            })];
        });
        element.replaceChildren(...buttons.map((row) => {
            const line = gpt.make("div", "gpt-take-row");
            line.append(...row);
            return line;
        }));
    };
    const choose = (change) => {
        own = true;
        change();
        draw();
        changed();
    };
    const draw = () => {
        for (const row of buttons) {
            for (const one of row.slice(1)) one.setAttribute("aria-pressed", String(chosen.has(one.dataset.head)));
            row[0].setAttribute("aria-pressed", String(row.slice(1).every((one) => chosen.has(one.dataset.head))));
        }
        buttons.forEach((row, y) => row.forEach((one, x) => { one.tabIndex = y === at[0] && x === at[1] ? 0 : -1; }));
        reset.hidden = !own;
    };
    element.addEventListener("keydown", (event) => {
        const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        const to = move && buttons[at[0] + move[0]]?.[at[1] + move[1]];
        if (move) event.preventDefault();
        to?.focus();
    });
    element.addEventListener("focusin", (event) => {
        const y = buttons.findIndex((row) => row.includes(event.target));
        if (y < 0) return;
        at = [y, buttons[y].indexOf(event.target)];
        draw();
    });

    const show = () => {
        const { layers, heads } = explorer.value.mosaic.layout.meta;
        if (shape !== `${layers} ${heads}`) {
            shape = `${layers} ${heads}`;
            own = false;
            at = [0, 0];
            build(layers, heads);
        }
        if (!own) {
            chosen.clear();
            chosen.add(`${explorer.selected.layer},${explorer.selected.head}`);
        }
        draw();
    };
    reset.onclick = () => {
        own = false;
        show();
        changed();
    };
    return { element, reset, show, heads: () => [...chosen].map((name) => name.split(",").map(Number)) };
};

// {harder_tokens: [[label, nats, count]], after, next: [[label, before, after]], how, prompt, whole, without: [[text, differs]]} as elements.
gpt.effectOf = function (answer) {
    const column = (title, ...rows) => {
        const place = gpt.make("div");
        place.append(gpt.make("p", "gpt-small", title), ...rows);
        return place;
    };
    const largest = Math.max(...answer.harder_tokens.map(([, change, count]) => change * count));
    const harder_tokens = answer.harder_tokens.map(([label, change, count]) => {
        const times = count === 1 ? "once" : `${count} times`;
        const total = change * count, title = `${total.toFixed(3)} nats worse in all`;
        const row = gpt.bar(label, total / largest, `${gpt.signed(change)}, ${times}`, title);
        row.classList.add("gpt-wide-number");
        return row;
    });
    const next = answer.next.map(([label, before, after]) => {
        const percent = (share) => `${(100 * share).toFixed(1)} %`;
        const row = gpt.bar(label, before, `${percent(before)} \u2192 ${percent(after)}`), both = gpt.make("span", "gpt-both");
        const first = row.children[1], second = first.cloneNode(true);
        second.firstChild.style.width = `${100 * after}%`;
        row.classList.add("gpt-wide-number");
        first.replaceWith(both);
        both.append(first, second);
        return row;
    });
    const key = gpt.make("p", "gpt-small", "What follows ");
    const [before, after] = ["gpt-before", "gpt-after"].map((name) => gpt.make("i", name));
    key.append(gpt.make("code", "", answer.after), ": ", before, " the whole model, ", after, " without");
    const follows = gpt.make("div");
    follows.append(key, ...next);
    const written = (pieces) => {
        const text = gpt.make("p", "gpt-written");
        text.append(gpt.make("span", "gpt-prompt", answer.prompt));
        text.append(...pieces.map(([piece, differs]) => gpt.make("span", differs ? "gpt-differs" : "", piece)));
        return text;
    };
    const numbers = gpt.make("div", "gpt-panes"), texts = gpt.make("div", "gpt-panes");
    const none = harder_tokens.length ? [] : [gpt.make("p", "gpt-small", "No token became harder to predict.")];
    const told = "The tokens that became harder to predict, the largest sum first: nats on average, and how often they came";
    numbers.append(column(told, ...harder_tokens, ...none), follows);
    texts.append(column("The whole model", written(answer.whole)), column("Without", written(answer.without)));
    return [numbers, gpt.make("p", "gpt-small gpt-apart", answer.how), texts];
};

// Every head taken out alone, a layer after the other; beside it the importance of all heads by gradient. What is found stands in
// explorer.effects, {"layer,head": change of the loss in nats per token}; explorer.onEffects() shows it on the mosaic.
gpt.sweep = function (element, explorer, replacedBy) {
    const begin = gpt.make("button", "gpt-button", "Try every head"), stop = gpt.make("button", "gpt-button", "Stop");
    const status = gpt.make("span", "gpt-small"), progress = gpt.make("div", "gpt-progress"), done = gpt.make("span");
    const bars = gpt.make("div", "gpt-panes"), title = gpt.make("div", "gpt-every");
    const words = gpt.make("p", "gpt-small", "A role says what a head looks at; taking it out says what the model loses without it. A head "
        + "may look at much and matter little, and heads that do the same work hide each other: without one of them, nothing is lost.");
    status.setAttribute("role", "status");
    progress.append(done);
    title.append(begin, stop, status);
    element.append(title, progress, bars, words);
    stop.hidden = progress.hidden = true;
    let changes = {}, errors = {}, gradient = {}, of = "", running = null;

    const named = (value) => `${value.run}\n${value.weights}`;
    const forget = () => {
        [changes, errors, gradient] = [{}, {}, {}];
        of = named(explorer.value);
    };
    const publish = () => {
        explorer.effects = changes;
        explorer.onEffects?.();
        explorer.tell();
    };

    const list = (head, numbers, told) => {
        const rows = Object.entries(numbers).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, gpt.MOST_EFFECTS);
        const place = gpt.make("div"), largest = Math.max(Math.abs(rows[0]?.[1] ?? 0), 1e-9);
        place.append(gpt.make("p", "gpt-small", head), ...rows.map(([name, value]) => {
            const [layer, which] = name.split(",").map(Number), row = gpt.bar("", Math.abs(value) / largest, told(name, value));
            const link = gpt.make("button", "gpt-link", `layer ${layer} head ${which}`);
            link.onclick = () => explorer.select({ layer, head: which });
            row.firstChild.replaceWith(link);
            row.classList.add("gpt-wide-number");
            return row;
        }));
        return place;
    };
    const draw = () => {
        bars.replaceChildren();
        if (Object.keys(changes).length) {
            const told = (name, value) => {
                const error = errors[name] === null ? "" : ` \u00b1 ${errors[name].toFixed(3)}`;
                return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(3) + error;
            };
            bars.append(list("Taken out, one at a time: change of the loss in nats per token \u00b1 its standard error", changes, told));
        }
        if (Object.keys(gradient).length) {
            const head = "By gradient, all heads at once: the change if the loss were a straight line";
            bars.append(list(head, gradient, (_, value) => value.toFixed(3)));
        }
    };

    const rest = (text) => {
        running = null;
        begin.hidden = false;
        stop.hidden = progress.hidden = true;
        status.textContent = text;
        draw();
    };
    const stopped = () => `Stopped: ${Object.keys(changes).length} heads were tried.`;
    stop.onclick = () => rest(stopped());
    begin.onclick = async () => {
        const mine = running = {}, value = explorer.value, replace = replacedBy(), { layers, heads } = value.mosaic.layout.meta;
        const end = (text) => { if (running === mine) rest(text); };
        const fail = () => end(explorer.value === value ? gpt.NOT_MEASURED : stopped());
        forget();
        publish();
        begin.hidden = true;
        stop.hidden = progress.hidden = false;
        done.style.width = "0";
        status.textContent = "The importance of all heads by gradient.";
        const found = await explorer.ask("importance", {});
        if (!found) return fail();
        found.importance.forEach((row, layer) => row.forEach((number, head) => { gradient[`${layer},${head}`] = number; }));
        let sequences = 0;
        for (let layer = 0; layer < layers; layer++) {
            if (running !== mine) return;
            draw();
            status.textContent = `Layer ${layer} of 0 to ${layers - 1}: its ${heads} heads are taken out, one at a time.`;
            const answer = await explorer.ask("sweep", { layer, replace });
            if (running !== mine) return;
            if (!answer) return fail();
            answer.changes.forEach(([change, error], head) => {
                changes[`${layer},${head}`] = change;
                errors[`${layer},${head}`] = error;
            });
            sequences = answer.sequences;
            done.style.width = `${100 * (layer + 1) / layers}%`;
            publish();
        }
        const by = replace === "mean" ? "its mean" : "zero", on = sequences === 1 ? "one sequence" : `${sequences} sequences`;
        end(`Each of ${layers * heads} heads replaced by ${by}, on ${on} of the validation text.`);
    };

    // Effects belong to a model, not to a prompt: they stay while the same weights are looked at.
    const show = () => {
        if (running) stop.onclick();
        if (of !== named(explorer.value)) {
            forget();
            status.textContent = "";
        }
        draw();
        if (Object.keys(changes).length && explorer.effects !== changes) publish();
    };
    return { show };
};
