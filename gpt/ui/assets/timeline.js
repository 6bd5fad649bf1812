// Over time: the selected head on the same prompt at a few steps of the training, what it scored at each, and the film as a file.

gpt.panels.push({
    title: "Over time",
    build(element, explorer) {
        const strip = gpt.make("div", "gpt-strip"), note = gpt.make("p", "gpt-small"), area = gpt.make("div");
        const save = gpt.make("button", "gpt-link", "Save as an animation"), how = gpt.make("span", "gpt-small");
        how.setAttribute("role", "status");
        element.append(strip, note, area, save, " ", how);
        const chart = gpt.plot(area, { height: 300, label: "scores of the selected head over training" });
        let asked = 0, palette = null;

        // The selected head's tile, cut out of a frame's mosaic.
        const picture = (value) => {
            const { layer, head } = explorer.selected, { pitch, size, places, heads } = value.mosaic.layout.meta, cells = value.mosaic.data[0].z;
            const at = places.findIndex((place) => place[0] === layer && place[1] === head);
            const one = gpt.make("button", "gpt-picture"), canvas = gpt.make("canvas");
            palette = palette || gpt.palette(value.mosaic.data[0].colorscale);
            gpt.paint(canvas, gpt.unpack(cells), palette, { x: (at % heads) * pitch, y: Math.floor(at / heads) * pitch, width: size, height: size,
                                                            stride: Number(cells.shape.split(", ")[1]) });
            canvas.setAttribute("role", "img");
            canvas.setAttribute("aria-label", `layer ${layer} head ${head}, ${gpt.inWords(value.step)}`);
            one.append(canvas, gpt.make("span", "", gpt.inWords(value.step)));
            one.setAttribute("aria-pressed", String(value.step === explorer.value.step));
            one.onclick = () => explorer.film.go(value.step);
            return one;
        };

        // Frames that are not at hand yet come one after the other.
        const show = async () => {
            const mine = ++asked;
            const answer = await explorer.ask("timeline", { layer: explorer.selected.layer, head: explorer.selected.head });
            if (mine !== asked || !answer) return;
            const pictures = [];
            for (const step of answer.steps) {
                const value = await explorer.film.frame(step);
                if (mine !== asked || !value) return;
                pictures.push(picture(value));
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

        // The server makes the file; it has then seen every frame but those it had no room for.
        save.onclick = async () => {
            save.disabled = true;
            const { steps } = explorer.film;
            for (const [i, step] of steps.entries()) {
                how.textContent = `Looking at frame ${i + 1} of ${steps.length} ...`;
                if (!await explorer.film.frame(step)) break;
            }
            const answer = await explorer.ask("animation", {}, () => true);
            how.textContent = answer ? `${answer.name} is saved: it plays in any browser, also without a network.` : "";
            if (answer) gpt.save(answer.name, "text/html", answer.html);
            save.disabled = false;
        };
        return { show, select: show };
    },
});
