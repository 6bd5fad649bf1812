// The chart of a run's loss, as its rows come: over steps, tokens or seconds, on linear or logarithmic axes.

gpt.MOST_POINTS = 2000;                                              // of a line; past them, every second of the older ones is left out

// zoomed({range, log}) is called with the range of steps that is shown (null: all), and whether their axis is logarithmic.
gpt.lossChart = function (zoomed) {
    const chart = gpt.make("div", "gpt-chart");
    const plot = gpt.plot(chart, { height: 330, label: "training and validation loss over steps", csv: () => gpt.curvesAsCsv(rows),
                                   name: () => `${run} loss` });
    const axes = gpt.axisOptions(gpt.AXES, () => redraw());
    let rows = [], run = null, steps = 0, across = {};               // across: lists of lines, by what draws them

    const setLines = () => {
        const lines = [...gpt.linesAcross(Object.values(across).flat(), axes.log.y), ...gpt.linesAt(rows.filter(({ mark }) => mark), axes)];
        Object.assign(plot.figure.layout, { shapes: lines.map(({ shape }) => shape), annotations: lines.map(({ annotation }) => annotation) });
    };
    const draw = (kind, lines, dash) => {
        across[kind] = lines.map(([loss, text, color = "var(--gpt-muted)"]) => ({ loss, text, color, dash }));
        setLines();
        plot.draw();
    };
    const setRange = () => { plot.figure.layout.xaxis.range = gpt.wholeRange(rows, axes, steps); };
    const redraw = () => {                                           // over other axes: what was zoomed to is forgotten
        if (!plot.figure) return;
        const { layout } = plot.figure, { over, log } = axes;
        Object.assign(layout.xaxis, { type: log.x, dtick: log.x === "log" ? 1 : undefined, title: { text: axes.title() } });
        Object.assign(layout.yaxis, { type: log.y, dtick: log.y === "log" ? "D2" : undefined, autorange: true });
        layout.uirevision = [run, over, log.x, log.y].join(" ");
        setLines();
        setRange();
        gpt.drawCurves(plot.figure, rows, over);
        plot.draw();
        zoomed({ range: null, log: log.x });
    };
    plot.onzoom = (range) => zoomed({ range: range && gpt.stepsWithin(rows, axes, range), log: axes.log.x });

    return {
        chart, options: axes.element, lastStep: () => rows.at(-1)?.step ?? 0,
        begin(figure, shown) {                                       // another run, or the same from its beginning; no figure: nothing to draw
            chart.hidden = axes.element.hidden = !figure;
            if (!figure) return;
            [run, plot.figure] = [shown, figure];
            redraw();
        },
        extendTo(planned) {
            steps = planned;
            if (plot.figure) setRange();
        },
        add(added) {
            rows = gpt.thinned(rows.concat(added.filter((row) => row.loss !== undefined || row.val_loss !== undefined || row.mark)));
            setLines();
            setRange();
            gpt.drawCurves(plot.figure, rows, axes.over);
            plot.draw();
            const now = plot.figure.data.filter(({ y }) => y.length).map(({ name, y }) => `${name} ${y.at(-1).toFixed(2)}`);
            plot.area.setAttribute("aria-label", `loss over ${axes.title()}; now ${now.join(", ")}`);
        },
        forget() {
            [rows, across] = [[], {}];
        },
        // Lines across the chart, [[loss, text, colour]]: those that every loss is compared with, and those of an experiment.
        compareWith: (lines) => draw("fixed", lines, "dot"),
        mark: (lines) => draw("marked", lines, "dash"),
    };
};

// The range of the x axis: the whole planned run, so that progress is seen, or as far as the rows go.
gpt.wholeRange = function (rows, { over, log }, steps) {
    const last = (over === "step" && steps) || rows.at(-1)?.[over] || 1, first = rows.find((row) => row[over] > 0)?.[over] ?? 1;
    return log.x === "log" ? [Math.log10(first), Math.log10(Math.max(last, 2 * first))] : [0, last];
};

// The range of steps behind a range on the x axis; null if no row is in it.
gpt.stepsWithin = function (rows, { over, log }, range) {
    const [from, to] = range.map((end) => (log.x === "log" ? 10 ** end : end));
    if (over === "step") return [from, to];
    const within = rows.filter((row) => row[over] >= from && row[over] <= to);
    return within.length ? [within[0].step, within.at(-1).step] : null;
};

// Lines across a chart. The text stands above its line at the right, where the curves have come down; below a line in a colour of its own,
// which the curves come down to.
gpt.linesAcross = function (lines, type) {
    return lines.map(({ loss, text, color, dash }) => ({
        shape: { type: "line", xref: "paper", x0: 0, x1: 1, y0: loss, y1: loss, layer: "below", line: { color, width: 1, dash } },
        annotation: gpt.note(text, { xref: "paper", x: 1, xanchor: "right", y: type === "log" ? Math.log10(loss) : loss,
                                     yanchor: color === "var(--gpt-muted)" ? "bottom" : "top" }, color),
    }));
};

// Lines at rows with a mark, such as where a run was made longer; the mark stands at the top.
gpt.linesAt = function (rows, { over, log }) {
    return rows.map(({ mark, [over]: at }) => ({
        shape: { type: "line", yref: "paper", y0: 0, y1: 1, x0: at, x1: at, layer: "below", line: { color: "var(--gpt-muted)", width: 1, dash: "dot" } },
        annotation: gpt.note(mark, { yref: "paper", y: 1, yanchor: "top", x: log.x === "log" ? Math.log10(at) : at, xanchor: "left" }),
    }));
};

gpt.note = (text, place, color = "var(--gpt-muted)") => ({ text, showarrow: false, font: { size: 11, color }, ...place });

// A run of days would have millions of rows: of many training rows, and of many evaluations, every second of the older ones is left out.
gpt.thinned = function (rows) {
    const fewer = (some) => {
        while (some.length > gpt.MOST_POINTS) {
            const newest = some.length - gpt.MOST_POINTS / 2;
            some = some.filter((_, i) => i % 2 === 0 || i >= newest);
        }
        return some;
    };
    if (rows.length <= gpt.MOST_POINTS) return rows;
    const stay = new Set([...fewer(rows.filter(({ loss }) => loss !== undefined)), ...fewer(rows.filter(({ loss }) => loss === undefined))]);
    return rows.filter((row) => stay.has(row));
};
