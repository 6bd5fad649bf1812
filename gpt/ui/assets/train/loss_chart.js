// The loss of a run, point by point as it comes, and what the run says: samples and warnings.

gpt.MOST_POINTS = 2000;                                              // of a line; past them, every second of the older ones is left out
gpt.MOST_SAMPLES = 20;

// zoomed(range) is called with the range of steps that a person has zoomed to.
gpt.lossChart = function (zoomed) {
    const chart = gpt.make("div", "gpt-chart"), plot = gpt.plot(chart, { height: 380, label: "training and validation loss over steps" });
    const logarithmic = gpt.checkbox(false, (on) => {
        if (!plot.figure) return;
        plot.figure.layout.yaxis.type = on ? "log" : "linear";
        plot.figure.layout.yaxis.autorange = true;
        plot.draw();
    });
    const options = gpt.wrap("label", "gpt-option", logarithmic, " log scale");
    let lastStep = 0, smooth = gpt.movingAverage();
    plot.onzoom = (range) => zoomed(range ?? [0, plot.figure.layout.xaxis.range?.[1] ?? lastStep]);

    return {
        chart, options, lastStep: () => lastStep,
        begin(figure, run) {                                         // another run, or the same from its beginning; no figure: nothing to draw
            chart.hidden = options.hidden = !figure;
            if (!figure) return;
            figure.layout.uirevision = run;
            figure.layout.yaxis.type = logarithmic.checked ? "log" : "linear";
            plot.show(figure);
        },
        extendTo(steps) {
            if (plot.figure && steps && plot.figure.layout.xaxis.range?.[1] !== steps) plot.figure.layout.xaxis.range = [0, steps];
        },
        add(rows) {
            const training = rows.filter((row) => row.loss !== undefined), validation = rows.filter((row) => row.val_loss !== undefined);
            const line = (rows, value) => ({ x: rows.map((row) => row.step), y: rows.map(value) });
            plot.extend([line(training, (row) => row.loss), line(training, (row) => smooth(row.loss)), line(validation, (row) => row.val_loss)]);
            gpt.thin(plot.figure.data);
            lastStep = rows.at(-1).step;
            const last = plot.figure.data.map((trace) => trace.y.at(-1)).filter((value) => value !== undefined);
            plot.area.setAttribute("aria-label", `loss over steps; training, smoothed and validation now ${last.map((y) => y.toFixed(2)).join(", ")}`);
        },
        forget() {
            [lastStep, smooth] = [0, gpt.movingAverage()];
            plot.figure?.data.forEach((trace) => { trace.x = [], trace.y = []; });
        },
        // Lines across the chart, [[loss, text]]: the text stands above its line at the right, where the curves have come down.
        mark(lines) {
            const { layout } = plot.figure, height = (loss) => logarithmic.checked ? Math.log10(loss) : loss;
            layout.shapes = lines.map(([loss]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: loss, y1: loss, line: { color: "var(--gpt-muted)", width: 1, dash: "dash" } }));
            layout.annotations = lines.map(([loss, text]) => ({ xref: "paper", x: 1, xanchor: "right", y: height(loss), yanchor: "bottom", text,
                                                                 showarrow: false, font: { size: 11, color: "var(--gpt-muted)" } }));
            plot.draw();
        },
    };
};

// Exponential moving average over about ten values, corrected for its start at nothing (Kingma and Ba 2014, section 3).
gpt.movingAverage = function () {
    let average = 0, weight = 0;
    return (value) => {
        average = 0.9 * average + 0.1 * value;
        weight = 0.9 * weight + 0.1;
        return average / weight;
    };
};

// The training loss and its smoothed line have a point a row; a run of days would have millions.
gpt.thin = function (traces) {
    for (const trace of traces) {
        while (trace.x.length > gpt.MOST_POINTS) {
            const newest = trace.x.length - gpt.MOST_POINTS / 2, stays = (_, i) => i % 2 === 0 || i >= newest;
            [trace.x, trace.y] = [trace.x.filter(stays), trace.y.filter(stays)];
        }
    }
};

// The newest samples above the older ones, and the warnings.
gpt.runMessages = function () {
    const samples = gpt.make("div", "gpt-samples"), warnings = gpt.make("div");
    return {
        samples, warnings,
        add(rows) {
            for (const row of rows.filter(({ kind }) => kind === "sample")) samples.prepend(gpt.sample(row));
            while (samples.children.length > gpt.MOST_SAMPLES) samples.lastChild.remove();
            warnings.append(...rows.filter(({ kind }) => kind === "warning").map(({ text }) => gpt.make("p", "gpt-warning", text)));
        },
        forget() {
            samples.replaceChildren();
            warnings.replaceChildren();
        },
    };
};

gpt.sample = function ({ step, prompt, text }) {
    const written = gpt.wrap("p", "gpt-written", gpt.make("span", "gpt-prompt", prompt), text);
    return gpt.wrap("figure", "gpt-sample", gpt.make("figcaption", "gpt-small", `step ${step.toLocaleString("en")}`), written);
};
