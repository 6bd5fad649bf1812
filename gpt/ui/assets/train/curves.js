// The curves of a run from its rows: training loss, a smoothed line through it, validation loss, and that on the text before, if there was
// one. The report of a run uses them too.

gpt.WIDTH_OF_SMOOTHING = 12;                                         // rows over which a neighbour's weight falls to a third

// Fill the four traces of a loss chart. `x` is the number of a row that the curves are drawn over: step, tokens or seconds.
gpt.drawCurves = function (figure, rows, x) {
    const training = rows.filter(({ loss }) => Number.isFinite(loss)), validation = rows.filter(({ val_loss }) => Number.isFinite(val_loss));
    const [raw, smooth, evaluated, before] = figure.data, places = training.map((row) => row[x]);
    const earlier = validation.filter(({ earlier_val_loss }) => Number.isFinite(earlier_val_loss));
    Object.assign(raw, { x: places, y: training.map(({ loss }) => loss), text: training.map(gpt.rowInWords) });
    Object.assign(smooth, { x: places, y: gpt.smoothed(raw.y) });
    Object.assign(evaluated, { x: validation.map((row) => row[x]), y: validation.map(({ val_loss }) => val_loss) });
    Object.assign(before, { x: earlier.map((row) => row[x]), y: earlier.map((row) => row.earlier_val_loss), visible: earlier.length > 0 });
    if (validation[0]?.step === 0 && validation.length > 1 && !earlier.length) {        // no line from the untrained model across the steepest part of the curve
        evaluated.x.splice(1, 0, null);
        evaluated.y.splice(1, 0, null);
    }
};

// What else a training row knows, for the hover label.
gpt.rowInWords = function ({ lr, grad_norm, tokens_per_second }) {
    return [[lr, (value) => `learning rate ${value.toPrecision(2)}`], [grad_norm, (value) => `gradient ${value.toFixed(2)}`],
            [tokens_per_second, (value) => `${(value / 1000).toFixed(1)} k tokens/s`]]
        .filter(([value]) => Number.isFinite(value)).map(([value, words]) => ` · ${words(value)}`).join("");
};

// At each value the straight line fitted to its neighbours on both sides, weighted by exp(-distance / width) (local linear regression,
// Cleveland 1979). A moving average of the past would lag behind a falling curve; this has none. At the start,
// where a loss falls fastest, the neighbourhood is small.
gpt.smoothed = function (values) {
    return values.map((_, i) => {
        const width = Math.min(gpt.WIDTH_OF_SMOOTHING, 0.5 + i / 12), reach = Math.ceil(4 * width);
        let n = 0, x = 0, xx = 0, y = 0, xy = 0;                     // weighted sums over the neighbours; x is counted from here
        for (let j = Math.max(0, i - reach); j <= Math.min(values.length - 1, i + reach); j++) {
            const weight = Math.exp(-Math.abs(j - i) / width), away = weight * (j - i);
            [n, x, xx, y, xy] = [n + weight, x + away, xx + away * (j - i), y + weight * values[j], xy + away * values[j]];
        }
        const spread = n * xx - x * x;
        return spread > 1e-9 ? (y * xx - x * xy) / spread : y / n;
    });
};

// The rows as CSV, with the columns that any of them has.
gpt.curvesAsCsv = function (rows) {
    const columns = ["step", "tokens", "seconds", "loss", "val_loss", "earlier_val_loss", "bits_per_byte", "lr", "grad_norm", "tokens_per_second"]
        .filter((column) => rows.some((row) => row[column] !== undefined));
    return [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ""))].map((cells) => cells.join(",")).join("\n") + "\n";
};
