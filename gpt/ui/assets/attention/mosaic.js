// All heads in one heatmap, a tile each: a click or an arrow key selects one; space plays them over the training.
gpt.mosaicPane = function (pane, explorer) {
    const mosaic = gpt.plot(pane, { aspect: 1.25, label: "attention of all heads", name: () => gpt.inspectionName(explorer, "all heads") });
    pane.tabIndex = 0;
    pane.setAttribute("aria-label", "All heads. Arrow keys choose one; space plays them over the training.");
    mosaic.fit = gpt.markHeads;

    const placeOf = ({ layer, head }) => mosaic.figure.layout.meta.places.findIndex((place) => place[0] === layer && place[1] === head);
    const select = (place) => place && explorer.select({ layer: place[0], head: place[1] });

    // Draw a frame around the selected head, and a veil over each head without a clear role: what it reads may be noise.
    mosaic.frame = () => {
        const { pitch, size, heads, places, marks } = mosaic.figure.layout.meta, selected = placeOf(explorer.selected);
        const rectangle = (place, style) => {
            const x = (place % heads) * pitch - 1, y = Math.floor(place / heads) * pitch - 1;
            return { type: "rect", x0: x, x1: x + size + 1, y0: y, y1: y + size + 1, ...style };
        };
        const veil = { fillcolor: "var(--gpt-absent)", opacity: 0.55, line: { width: 0 } };
        mosaic.figure.layout.shapes = [...places.flatMap((_, place) => (marks[place]?.isNoise && place !== selected ? [rectangle(place, veil)] : [])),
                                       rectangle(selected, { line: { color: "var(--gpt-amber)", width: 3 } })];
        mosaic.draw();
    };
    mosaic.onclick = (point) => {
        const { pitch, places, heads } = mosaic.figure.layout.meta;
        select(places[Math.floor(point.y / pitch) * heads + Math.floor(point.x / pitch)]);
    };
    gpt.onArrowKey(pane, (dx, dy) => {
        if (!explorer.value?.mosaic) return false;
        const { places, heads } = mosaic.figure.layout.meta, place = placeOf(explorer.selected), column = place % heads + dx;
        if (column >= 0 && column < heads) select(places[place + dx + dy * heads]);
    });
    pane.addEventListener("keydown", (event) => {
        const walk = { " ": () => explorer.film.toggle(), ",": () => explorer.film.walk(-1), ".": () => explorer.film.walk(1) }[event.key];
        if (!walk || event.target !== pane || !explorer.film.steps?.length) return;
        event.preventDefault();
        walk();
    });
    return mosaic;
};
