// The Train tab: what a text looks like, what a CONFIG costs, and the run that is being watched.

// Questions about the form have numbers (gpt/ui/tabs/train.py), and so have the answers: one that was overtaken is not shown.
gpt.inOrder = (show) => {
    let newest = 0;
    return (value) => {
        if ((value.question ?? 0) < newest) return;
        newest = value.question ?? 0;
        show(value);
    };
};

// {question, sentence, opening, notes}
gpt.views.preview = function (element, props, { watch }) {
    const sentence = gpt.make("p", "gpt-small");
    const opening = gpt.make("p", "gpt-opening");
    const notes = gpt.make("p", "gpt-warning");
    element.replaceChildren(sentence, opening, notes);
    const show = gpt.inOrder((value) => {
        sentence.textContent = value.sentence || "";
        opening.textContent = value.opening || "";
        notes.textContent = value.notes || "";
    });
    watch("value", () => show(props.value || {}));
    show(props.value || {});
};

// {question, numbers: [[value, label]], bars: [[label, {part: share}]], colours: {part: colour}, problems: [sentence], warning, command}
gpt.views.price = function (element, props, { watch }) {
    const percent = (share) => `${Math.round(100 * share)} %`;
    const paint = (tag, colour) => {
        const painted = gpt.make(tag);
        painted.style.background = colour;
        return painted;
    };
    const bars = (value) => {
        const grid = gpt.make("div", "gpt-bars");
        for (const [label, shares] of value.bars) {
            const bar = gpt.make("div", "gpt-bar");
            bar.setAttribute("role", "img");
            bar.setAttribute("aria-label", `${label}: ` + Object.entries(shares).map(([part, share]) => `${part} ${percent(share)}`).join(", "));
            for (const [part, share] of Object.entries(shares)) {
                const piece = paint("span", value.colours[part]);
                piece.style.flexGrow = share;
                piece.title = `${part}: ${percent(share)} of ${label}`;
                bar.append(piece);
            }
            grid.append(gpt.make("span", "", label), bar);
        }
        return grid;
    };
    const legend = (value) => {
        const key = gpt.make("p", "gpt-key");
        for (const [part, colour] of Object.entries(value.colours)) {
            const entry = gpt.make("span");
            entry.title = value.bars.map(([label, shares]) => `${percent(shares[part])} of ${label}`).join(", ");
            entry.append(paint("i", colour), `${part} ${value.bars.map(([, shares]) => percent(shares[part])).join(" | ")}`);
            key.append(entry);
        }
        return key;
    };
    const show = gpt.inOrder((value) => {
        const parts = (value.problems || []).map((problem) => gpt.make("p", "gpt-error", problem));
        if (value.numbers?.length) {
            const line = gpt.make("p", "gpt-price");
            value.numbers.forEach(([number, label], i) => line.append(i ? " · " : "", gpt.make("b", "", number), ` ${label}`));
            parts.push(line);
        }
        if (value.warning) parts.push(gpt.make("p", "gpt-warning", value.warning));
        if (value.bars?.length) parts.push(bars(value), legend(value));
        if (value.command) parts.push(gpt.make("p", "gpt-command", value.command));
        element.replaceChildren(...parts);
    });
    watch("value", () => show(props.value || {}));
    show(props.value || {});
};

// Watches a run by polling its folder: server.poll({page, run, cursor}) -> see gpt/ui/server/training_status.py. What is kept here is bounded, so that
// a page can watch for days.
gpt.MOST_POINTS = 2000;                                              // of a trace; past them, every second of the older ones is left out
gpt.MOST_SAMPLES = 20;
gpt.PATIENCE = 15000;                                                // ms for an answer: longer, and the server counts as lost
gpt.views.monitor = function (element, props, { server, choices }) {
    const facts = gpt.make("div", "gpt-facts"), progress = gpt.make("div", "gpt-progress"), done = gpt.make("span");
    facts.setAttribute("role", "status");
    const sentence = gpt.make("p", "gpt-small"), error = gpt.make("p", "gpt-error"), log = gpt.make("details", "gpt-log");
    const chart = gpt.make("div", "gpt-chart"), samples = gpt.make("div", "gpt-samples"), warnings = gpt.make("div"), options = gpt.make("label", "gpt-option");
    const logarithmic = gpt.make("input"), logText = gpt.make("pre");
    logarithmic.type = "checkbox";
    options.append(logarithmic, " log scale");
    log.append(gpt.make("summary", "", "Last lines of the log"), logText);
    progress.append(done);
    const forming = gpt.make("div");
    element.replaceChildren(facts, progress, error, log, chart, options, forming, sentence, warnings, samples);
    const plot = gpt.plot(chart, { height: 380, label: "training and validation loss over steps" });
    // Lines across the loss chart, [[loss, words]]: what is said stands above its line at the right, where the curves have come down.
    const mark = (lines) => {
        const { layout } = plot.figure, height = (loss) => logarithmic.checked ? Math.log10(loss) : loss;
        layout.shapes = lines.map(([loss]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: loss, y1: loss, line: { color: "var(--gpt-muted)", width: 1, dash: "dash" } }));
        layout.annotations = lines.map(([loss, words]) => ({ xref: "paper", x: 1, xanchor: "right", y: height(loss), yanchor: "bottom", text: words,
                                                              showarrow: false, font: { size: 11, color: "var(--gpt-muted)" } }));
        plot.draw();
    };
    const heads = gpt.forming(forming, server, choices, mark);
    plot.onzoom = (range) => heads.follow(range ?? [0, plot.figure.layout.xaxis.range?.[1] ?? lastStep]);
    let run = null, state = null, cursor = 0, lastStep = 0, smoothed = null, weight = 0;

    logarithmic.onchange = () => {
        if (!plot.figure) return;
        plot.figure.layout.yaxis.type = logarithmic.checked ? "log" : "linear";
        plot.figure.layout.yaxis.autorange = true;
        plot.draw();
    };

    // Exponential moving average over about ten rows, corrected for its start at nothing (Kingma and Ba 2014, section 3).
    const smooth = (loss) => {
        smoothed = 0.9 * (smoothed ?? 0) + 0.1 * loss;
        weight = 0.9 * weight + 0.1;
        return smoothed / weight;
    };

    const addRows = (rows) => {
        const points = [0, 1, 2].map(() => ({ x: [], y: [] }));
        for (const row of rows) {
            if (row.loss !== undefined) {
                points[0].x.push(row.step), points[0].y.push(row.loss);
                points[1].x.push(row.step), points[1].y.push(smooth(row.loss));
            }
            if (row.val_loss !== undefined) points[2].x.push(row.step), points[2].y.push(row.val_loss);
            if (row.kind === "sample") addSample(row);
            if (row.kind === "warning") warnings.append(gpt.make("p", "gpt-warning", row.text));
        }
        plot.extend(points);
        thin();
        lastStep = rows.at(-1).step;
        const last = plot.figure.data.map((trace) => trace.y.at(-1)).filter((value) => value !== undefined);
        chart.firstChild.setAttribute("aria-label", `loss over steps; training, smoothed and validation now ${last.map((y) => y.toFixed(2)).join(", ")}`);
    };

    // The training loss and its smoothed line have a point a row; a run of days would have millions.
    const thin = () => {
        for (const trace of plot.figure.data) {
            while (trace.x.length > gpt.MOST_POINTS) {
                const newest = trace.x.length - gpt.MOST_POINTS / 2, stays = (_, i) => i % 2 === 0 || i >= newest;
                [trace.x, trace.y] = [trace.x.filter(stays), trace.y.filter(stays)];
            }
        }
    };

    const addSample = (row) => {
        const sample = gpt.make("figure", "gpt-sample"), text = gpt.make("p", "gpt-written");
        text.append(gpt.make("span", "gpt-prompt", row.prompt), row.text);
        sample.append(gpt.make("figcaption", "gpt-small", `step ${row.step.toLocaleString("en")}`), text);
        samples.prepend(sample);
        while (samples.children.length > gpt.MOST_SAMPLES) samples.lastChild.remove();
    };

    const forget = () => {
        smoothed = null, weight = 0, lastStep = 0;
        samples.replaceChildren();
        warnings.replaceChildren();
        plot.figure?.data.forEach((trace) => { trace.x = [], trace.y = []; });
    };

    const show = (seen) => {
        if (seen.rows[0]?.step < lastStep) forget();              // a resumed run has done some steps anew
        if (seen.run !== run || seen.chart) {
            run = seen.run;
            forget();
            chart.hidden = options.hidden = !seen.chart;
            if (seen.chart) {
                seen.chart.layout.uirevision = run;
                seen.chart.layout.yaxis.type = logarithmic.checked ? "log" : "linear";
                plot.show(seen.chart);
            }
        }
        cursor = seen.cursor;
        if (plot.figure && seen.steps && plot.figure.layout.xaxis.range?.[1] !== seen.steps) plot.figure.layout.xaxis.range = [0, seen.steps];
        if (seen.rows.length) addRows(seen.rows);
        heads.look(seen.run, seen.rows.some((row) => row.kind === "heads") || seen.state !== state, seen.rows.length > 0);
        state = seen.state;
        facts.replaceChildren(...seen.facts.map(({ value, label, hint }) => {
            const fact = gpt.make("div", "gpt-fact");
            fact.title = hint;
            fact.append(gpt.make("b", "", value), gpt.make("span", "", label));
            return fact;
        }));
        done.style.width = `${100 * seen.progress}%`;
        error.textContent = seen.error || "";
        sentence.textContent = seen.sentence;
        log.hidden = !seen.log;
        logText.textContent = seen.log;
        control(seen);
    };

    // Which buttons can be pressed. While a run is asked to stop, Stop now stands where Stop was.
    const control = (seen) => {
        const stopping = seen.state === "stopping";
        const pause = document.querySelector("#pause");
        if (pause) pause.textContent = seen.state === "paused" ? "Resume" : "Pause";
        document.querySelector("#stop")?.classList.toggle("gpt-hidden", stopping);
        document.querySelector("#stop-now")?.classList.toggle("gpt-hidden", !stopping);
        const usable = { train: !seen.active, grow: !seen.active, pause: seen.active && !stopping, stop: seen.active, snapshot: seen.snapshot, extend: seen.extend };
        for (const [id, on] of Object.entries(usable)) {
            const button = document.querySelector(`#${id}`);
            if (button) button.disabled = !on;
        }
    };

    const page = crypto.getRandomValues(new Uint32Array(2)).join("-");
    let wait = 500, looks = 0;                                       // ms; the server asks for more when many pages look
    const look = async () => {
        if (document.hidden || !element.isConnected) return;
        const mine = ++looks;
        const impatience = new Promise((resolve) => { setTimeout(resolve, gpt.PATIENCE); });
        const seen = await Promise.race([server.poll({ page, run, cursor }), impatience]);   // undefined when the server does not answer
        if (mine !== looks) return;                                  // a later look has overtaken this one
        element.classList.toggle("gpt-offline", !seen);
        wait = seen ? 1000 * seen.wait : 500;
        if (seen) show(seen);
        else error.textContent = "The page has lost its server: it will go on when python demo.py runs again.";
    };
    const watch = async () => {
        await look();
        setTimeout(watch, wait);
    };
    watch();
    // A hidden page does not look. When it is shown again, after minutes or a night, it looks at once: its timers may sleep on, and
    // an answer that it waited for when the machine fell asleep may never come.
    document.addEventListener("visibilitychange", look);
};
