// The one place that draws with Plotly. Figures arrive as JSON from Python; colours in them are names of CSS variables, so
// the same figure serves light and dark. A plot redraws in place: zoom and hover survive an update.
gpt.plots = new Set();

gpt.ABOUT_CONTEXT = "The loss by how many tokens the model can look back on: where the curve is flat, more text before does not help it.";

// gpt.plot(element, {aspect, height, label, csv, name: functions that return its numbers and its file's name}) -> {show(figure), onclick, onhover, onzoom, fit(layout, width, data)}
gpt.plot = function (element, options) {
    const area = gpt.make("div", "gpt-plot");
    area.setAttribute("role", "img");
    area.setAttribute("aria-label", options.label || "chart");
    element.append(area);
    const plot = { area, figure: null, drawnWidth: 0, onclick: null, onhover: null, onzoom: null };

    if (options.saved !== false) element.append(gpt.saveLinks(area, options.name ?? (() => options.label || "figure"), options.csv));

    plot.show = function (figure) {
        plot.figure = figure;
        const description = figure?.layout?.meta?.description;
        if (description) area.setAttribute("aria-label", description);
        plot.draw();
    };

    plot.draw = function () {
        const width = element.clientWidth;
        if (!plot.figure || !width) return;                       // hidden in another tab: the observer below draws it later
        plot.drawnWidth = width;
        plot.fit?.(plot.figure.layout, width, plot.figure.data);
        const narrow = width < 480;
        const height = options.aspect ? Math.round(width / (narrow ? 1 : options.aspect)) : narrow ? Math.round(0.8 * width) : options.height;
        const layout = gpt.themed(area, plot.figure.layout, width, height);
        const data = gpt.coloured(area, plot.figure.data);
        Plotly.react(area, data, layout, { displayModeBar: false, scrollZoom: false, doubleClick: "reset" });
        if (area.dataset.connected) return;
        area.dataset.connected = "yes";
        area.on("plotly_click", (event) => plot.onclick?.(event.points[0]));
        area.on("plotly_hover", (event) => plot.onhover?.(event.points[0], event.event));
        area.on("plotly_unhover", () => plot.onhover?.(null));
        area.on("plotly_relayout", (change) => {                  // a person zoomed, or a double click took it back
            if ("xaxis.range[0]" in change) plot.onzoom?.([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
            else if (change["xaxis.autorange"]) plot.onzoom?.(null);
        });
    };

    new ResizeObserver(() => { if (element.clientWidth !== plot.drawnWidth) plot.draw(); }).observe(element);
    gpt.plots.add(plot);
    return plot;
};

// Buttons that save a plot as it is drawn now, on the page's own ground, and its numbers.
gpt.saveLinks = function (area, name, csv) {
    const file = (format) => `${name().replaceAll(/[^\p{L}\p{N}._]+/gu, "-")}.${format}`;
    const save = async (format) => {
        const { width, height } = area.layout, layout = { ...area.layout, paper_bgcolor: gpt.coloured(area, "var(--gpt-surface)") };
        const image = await Plotly.toImage({ data: area.data, layout }, { format, width, height, scale: format === "png" ? 2 : 1 });
        gpt.download(file(format), image);
    };
    const link = (format, saved) => {
        const button = gpt.button(format.toUpperCase(), saved);
        button.title = `save this figure as ${format.toUpperCase()}`;
        return button;
    };
    const links = ["png", "svg"].map((format) => link(format, () => save(format)));
    if (csv) links.push(link("csv", () => gpt.save(file("csv"), "text/csv", csv())));
    return gpt.wrap("div", "gpt-save", ...links);
};

// Replace every "var(--name)" in a figure by what the variable is worth here and now.
gpt.coloured = function (element, value) {
    if (typeof value === "string" && value.startsWith("var(--")) {
        return getComputedStyle(element).getPropertyValue(value.slice(4, -1)).trim();
    }
    if (Array.isArray(value)) return value.length && typeof value[0] === "number" ? value : value.map((item) => gpt.coloured(element, item));
    if (value && typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, gpt.coloured(element, item)]));
    }
    return value;
};

// Plotly reads a few HTML tags in labels; token text and run names must show as they are.
gpt.plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

gpt.themed = function (element, layout, width, height) {
    const colour = (name) => gpt.coloured(element, `var(--gpt-${name})`);
    const narrow = width < 480;
    const axis = { gridcolor: colour("grid"), linecolor: colour("grid"), zerolinecolor: colour("grid"), automargin: true,
                   tickfont: { size: narrow ? 10 : 12 }, title: { standoff: 8 } };
    const base = {
        width, height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: "keep",
        font: { family: colour("sans"), color: colour("text"), size: narrow ? 11 : 13 },
        hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("grid"), font: { family: colour("sans"), color: colour("text") } },
        margin: { l: narrow ? 36 : 48, r: 12, t: 28, b: narrow ? 36 : 44 },
    };
    return gpt.merged({ ...base, xaxis: axis, yaxis: axis }, gpt.coloured(element, layout));
};

gpt.merged = function (base, over) {
    const isPlain = (value) => value && typeof value === "object" && !Array.isArray(value);
    const result = { ...base };
    for (const [key, value] of Object.entries(over)) {
        result[key] = isPlain(value) && isPlain(base[key]) ? gpt.merged(base[key], value) : structuredClone(value);
    }
    return result;
};

// As many token labels as fit without touching, smaller ones where there are many, long ones cut; the whole label shows under the pointer.
// They are text, and Plotly reads tags: escape them for the axes.
gpt.fitLabels = function (layout, width, data) {
    const { labels } = layout.meta, narrow = width < 480, room = (0.74 * width) / labels.length;  // pixels for a label
    const every = Math.ceil(gpt.SMALLEST_LABEL / room), shown = labels.map((_, i) => i).filter((i) => i % every === 0);
    const size = Math.max(8, Math.min(narrow ? 10 : 12, room * every - 1)), longest = narrow ? 7 : 12;
    for (const axis of [layout.xaxis, layout.yaxis]) {
        axis.tickvals = shown;
        axis.ticktext = shown.map((i) => gpt.plain(labels[i].length > longest ? `${labels[i].slice(0, longest - 1)}…` : labels[i]));
        axis.tickfont = { ...axis.tickfont, size };
    }
    if (data[0].colorbar) data[0].showscale = !narrow;              // it would take a fifth of a narrow map
};
gpt.SMALLEST_LABEL = 10;                                            // pixels from label to label

// In the corner of each head of a mosaic, its letter, and its number or its name where there is room.
gpt.markHeads = function (layout, width) {
    const { pitch, size, marks, places, heads, ordered } = layout.meta, room = 0.85 * width / heads;
    layout.annotations = marks.flatMap((mark, i) => {
        const name = ordered ? `${places[i][0]}.${places[i][1]}` : "";
        const lines = room > 70 ? [[mark.letter, name].filter(Boolean).join(" "), mark.text] : [mark.letter || (room > 30 ? name : "")];
        const text = lines.filter(Boolean).map(gpt.plain).join("<br>");
        return text ? [{ text, x: (i % heads) * pitch + size - 1, y: Math.floor(i / heads) * pitch, xanchor: "right", yanchor: "top", align: "right",
                         showarrow: false, font: { size: room > 70 ? 11 : 9 } }] : [];
    });
};

// Bytes of one of Python's packed arrays: {dtype: "f4" | "u1", bdata: base64, shape: "rows, columns"}.
gpt.unpack = function (array) {
    const bytes = Uint8Array.from(atob(array.bdata), (character) => character.charCodeAt(0));
    return array.dtype === "f4" ? new Float32Array(bytes.buffer) : bytes;
};

// Gradio puts the class "dark" on the body. It inserts these scripts after DOMContentLoaded, which must not be waited for.
const repaint = new MutationObserver(() => gpt.plots.forEach((plot) => plot.draw()));
for (const themed of [document.documentElement, document.body]) {
    repaint.observe(themed, { attributes: true, attributeFilter: ["class"] });
}
