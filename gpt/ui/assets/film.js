// The film of a prompt: the same tokens in every snapshot of the run, from the first to the best weights. A button plays it, a mark for
// each frame goes there, and the step that is shown stands there in large.

gpt.SECONDS_A_FRAME = 0.4;
gpt.inWords = (step) => step === null ? "best weights" : `step ${step.toLocaleString("en")}`;

// explorer: {value, ask, draw(value) -> when it is drawn}. move(step) moves the page's slider, after which the same is looked at from there.
gpt.film = function (element, explorer, move) {
    const play = gpt.make("button", "gpt-play", "Play"), told = gpt.make("b"), of = gpt.make("span", "gpt-small");
    const marks = gpt.make("div", "gpt-marks"), note = gpt.make("p", "gpt-small");
    play.title = "Watch the heads form, from the first snapshot to the best weights (space on the mosaic)";
    marks.setAttribute("role", "group");
    marks.setAttribute("aria-label", "training steps");
    told.setAttribute("role", "status");
    element.append(play, told, of, marks, note);
    let name = null, playing = null, looked, awaited;                // the step where the slider stands, and the one where it was moved to
    let frames = new Map();                                          // step -> a promise of what `look` answers there
    const film = { steps: null };

    const tell = () => {
        const { step } = explorer.value;
        told.textContent = gpt.inWords(step);
        of.textContent = step === null ? "" : `of ${explorer.value.film.last.toLocaleString("en")}`;
        for (const mark of marks.children) mark.setAttribute("aria-pressed", String(mark.textContent === gpt.markOf(step)));
        play.textContent = playing ? "Pause" : "Play";
        element.dataset.playing = String(Boolean(playing));
    };

    // One frame; undefined if it cannot be had. It is asked for once, whatever waits for it.
    film.frame = function (step) {
        const mine = frames;
        if (!mine.has(step)) {
            mine.set(step, explorer.ask("at", { step }, () => frames === mine).then((value) => {
                if (!value) mine.delete(step);
                return value;
            }));
        }
        return mine.get(step);
    };

    // Go to a frame and stay there: the slider above follows.
    film.go = async function (step) {
        film.pause(false);
        const value = await film.frame(step);
        if (!value) return;
        await explorer.draw(value);
        settle();
    };
    const settle = () => {
        const { step } = explorer.value;
        if (step !== looked) move(awaited = step);
    };

    film.pause = function (stay = true) {
        if (!playing) return;
        playing = null;
        tell();
        if (stay) settle();
    };

    // The next frame is asked for while this one is drawn, and none is shown before the last one is.
    film.play = async function () {
        const mine = playing = {}, { steps } = film, at = steps.indexOf(explorer.value.step);
        tell();
        for (let i = at < 0 || at === steps.length - 1 ? 0 : at + 1; i < steps.length; i += 1) {
            const begun = performance.now(), value = await film.frame(steps[i]);
            if (playing !== mine || !value) break;
            if (i + 1 < steps.length) film.frame(steps[i + 1]);
            await explorer.draw(value);
            if (playing !== mine || explorer.value !== value) break;
            await new Promise((rest) => setTimeout(rest, 1000 * gpt.SECONDS_A_FRAME - (performance.now() - begun)));
        }
        if (playing === mine) film.pause();
    };
    film.isPlaying = () => Boolean(playing);
    film.toggle = () => playing ? film.pause() : film.play();
    film.walk = (by) => {
        const to = film.steps[film.steps.indexOf(explorer.value.step) + by];
        if (to !== undefined) film.go(to);
    };
    play.onclick = film.toggle;

    // What Python has looked at: a new film, unless the film itself has moved the slider there.
    film.begin = function (value) {
        playing = null;
        if (value.film.name !== name || value.step !== awaited) frames = new Map();
        [name, looked, awaited] = [value.film.name, value.step, undefined];
        frames.set(value.step, Promise.resolve(value));
        note.textContent = value.film.note;
        const steps = value.film.steps.length ? [...value.film.steps, null] : [];
        if (String(steps) === String(film.steps)) return;                // the marks stay: one of them may have the focus
        film.steps = steps;
        play.hidden = marks.hidden = !steps.length;
        marks.replaceChildren(...steps.map((step) => {
            const mark = gpt.make("button", "", gpt.markOf(step));
            mark.title = gpt.inWords(step);
            mark.onclick = () => film.go(step);
            return mark;
        }));
    };
    film.tell = tell;
    return film;
};

gpt.markOf = (step) => step === null ? "best" : step.toLocaleString("en");
