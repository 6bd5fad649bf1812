// Over time: the selected head on the same prompt at a few steps of the training, what it scored at each, and the film as a file.

gpt.panels.push({
    order: 4,
    title: "Over time",
    build(element, explorer) {
        const strip = gpt.make("div", "gpt-strip"), note = gpt.make("p", "gpt-small"), area = gpt.make("div");
        const save = gpt.button("Save as an animation", () => saveAnimation()), status = gpt.live(gpt.make("span", "gpt-small"));
        element.append(strip, note, area, save, " ", status);
        const chart = gpt.plot(area, { height: 300, label: "scores of the selected head over training",
                                         name: () => gpt.headName(explorer, "over time") }), requests = gpt.requests();

        // Frames that are not held yet come one after the other.
        const show = async () => {
            const isNewest = requests.begin();
            const answer = await explorer.ask("timeline", { layer: explorer.selected.layer, head: explorer.selected.head });
            if (!isNewest() || !answer) return;
            const pictures = [];
            for (const step of answer.steps) {
                const value = await explorer.film.frame(step);
                if (!isNewest() || !value) return;
                pictures.push(gpt.headPicture(explorer, value));
                if (strip.childElementCount < answer.steps.length) strip.replaceChildren(...pictures);
            }
            strip.replaceChildren(...pictures);
            note.textContent = answer.note;
            area.hidden = !answer.figure;
            if (answer.figure) chart.show(marked(answer.figure));
        };

        // A line where the step that is shown stands on the axis of steps.
        const marked = (figure) => {
            const { step } = explorer.value;
            figure.layout.shapes = step === null ? [] : [{ type: "line", x0: step || 0.5, x1: step || 0.5, yref: "paper", y0: 0, y1: 1,
                                                           line: { color: "var(--gpt-amber)", width: 2 } }];
            return figure;
        };

        // The server makes the file; by then it has inspected every frame, and holds those that it had room for.
        const saveAnimation = async () => {
            save.disabled = true;
            const { steps } = explorer.film;
            for (const [i, step] of steps.entries()) {
                status.textContent = `Inspecting frame ${i + 1} of ${steps.length} ...`;
                if (!await explorer.film.frame(step)) break;
            }
            const answer = await explorer.ask("animation", {}, () => true);
            status.textContent = answer ? `${answer.name} is saved: it plays in any browser, also without a network.` : "";
            if (answer) gpt.save(answer.name, "text/html", answer.html);
            save.disabled = false;
        };
        return { show, select: show };
    },
});

// The selected head's tile, cut out of a frame's mosaic, as a button that goes to the frame.
gpt.headPicture = function (explorer, value) {
    const { layer, head } = explorer.selected, { pitch, size, places, heads } = value.mosaic.layout.meta, { z, colorscale } = value.mosaic.data[0];
    const place = places.findIndex((place) => place[0] === layer && place[1] === head);
    const canvas = gpt.make("canvas"), picture = gpt.button("", () => explorer.film.go(value.step), "gpt-picture");
    gpt.paint(canvas, gpt.unpack(z), gpt.palette(colorscale), { x: (place % heads) * pitch, y: Math.floor(place / heads) * pitch, width: size, height: size,
                                                                stride: Number(z.shape.split(", ")[1]) });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `layer ${layer} head ${head}, ${gpt.stepLabel(value.step)}`);
    picture.append(canvas, gpt.make("span", "", gpt.stepLabel(value.step)));
    picture.setAttribute("aria-pressed", String(value.step === explorer.value.step));
    return picture;
};
