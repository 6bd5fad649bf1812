// The film of a prompt: the same tokens in every snapshot of the run, from the first to the best weights. One button plays it, one
// button per frame shows that frame, and the current step stands beside the play button.

gpt.SECONDS_A_FRAME = 0.4;
gpt.markOf = (step) => step === null ? "best" : step.toLocaleString("en");

// explorer: {value, ask, draw(value) -> resolves when it is drawn}. moveSlider(step) moves the page's slider, after which Python inspects the
// same tokens there.
gpt.film = function (element, explorer, moveSlider) {
    const film = { steps: null, frame: null };
    let name = null, inspected, awaited;                             // the step where the slider stands, and the one to which it was moved
    const bar = gpt.filmBar(element, film, explorer);
    const frames = gpt.filmFrames(explorer);
    film.frame = frames.get;

    const moveSliderHere = () => {                                           // the slider above follows
        const { step } = explorer.value;
        if (step !== inspected) moveSlider(awaited = step);
    };
    gpt.filmPlayer(film, explorer, moveSliderHere);
    film.describe = bar.describe;
    film.go = async (step) => {                                      // go to a frame and stay there
        film.pause(false);
        const value = await film.frame(step);
        if (!value) return;
        await explorer.draw(value);
        moveSliderHere();
    };
    film.walk = (by) => {
        const step = film.steps[film.steps.indexOf(explorer.value.step) + by];
        if (step !== undefined) film.go(step);
    };
    // Python sent a new inspection: start a new film, unless this film itself moved the slider to that step.
    film.begin = (value) => {
        film.stop();
        if (value.film.name !== name || value.step !== awaited) frames.forget();
        [name, inspected, awaited] = [value.film.name, value.step, undefined];
        frames.put(value);
        bar.begin(value.film);
    };
    return film;
};

// The frames that were inspected, and those that are under way: each is requested once.
gpt.filmFrames = function (explorer) {
    let frames = new Map();                                          // step -> a promise of its inspection
    return {
        forget() {
            frames = new Map();
        },
        put(value) {
            frames.set(value.step, Promise.resolve(value));
        },
        get(step) {                                                  // resolves to undefined if it cannot be had
            const mine = frames;
            if (!mine.has(step)) {
                mine.set(step, explorer.ask("at", { step }, () => frames === mine).then((value) => {
                    if (!value) mine.delete(step);
                    return value;
                }));
            }
            return mine.get(step);
        },
    };
};

// The button, the step in large, and a mark for each frame.
gpt.filmBar = function (element, film, explorer) {
    const play = gpt.button("Play", () => film.toggle(), "gpt-play"), step = gpt.live(gpt.make("b")), of = gpt.make("span", "gpt-small");
    const marks = gpt.make("div", "gpt-marks"), note = gpt.make("p", "gpt-small");
    play.title = "Watch the heads form, from the first snapshot to the best weights (space on the mosaic)";
    marks.setAttribute("role", "group");
    marks.setAttribute("aria-label", "training steps");
    element.append(play, step, of, marks, note);

    return {
        describe() {
            const shown = explorer.value;
            step.textContent = gpt.stepLabel(shown.step);
            of.textContent = shown.step === null ? "" : `of ${shown.film.last.toLocaleString("en")}`;
            for (const mark of marks.children) mark.setAttribute("aria-pressed", String(mark.textContent === gpt.markOf(shown.step)));
            play.textContent = film.isPlaying() ? "Pause" : "Play";
            element.dataset.playing = String(film.isPlaying());
        },
        begin(about) {
            const steps = about.steps.length ? [...about.steps, null] : [];
            note.textContent = about.note;
            if (String(steps) === String(film.steps)) return;        // the marks stay: one of them may have the focus
            film.steps = steps;
            play.hidden = marks.hidden = !steps.length;
            marks.replaceChildren(...steps.map((step) => {
                const mark = gpt.button(gpt.markOf(step), () => film.go(step), "");
                mark.title = gpt.stepLabel(step);
                return mark;
            }));
        },
    };
};

// Adds play, pause, toggle, stop and isPlaying to `film`. moveSliderHere() is called when it pauses or ends.
gpt.filmPlayer = function (film, explorer, moveSliderHere) {
    let playing = null;                                              // an object of its own for each time it plays
    film.isPlaying = () => Boolean(playing);
    film.stop = () => { playing = null; };
    film.pause = (stay = true) => {
        if (!playing) return;
        playing = null;
        film.describe();
        if (stay) moveSliderHere();
    };
    film.toggle = () => playing ? film.pause() : film.play();
    // The next frame is requested while this one is drawn, and none is shown before the last one is.
    film.play = async () => {
        const mine = playing = {}, { steps } = film, place = steps.indexOf(explorer.value.step);
        film.describe();
        for (let i = place < 0 || place === steps.length - 1 ? 0 : place + 1; i < steps.length; i += 1) {
            const begun = performance.now(), value = await film.frame(steps[i]);
            if (playing !== mine || !value) break;
            if (i + 1 < steps.length) film.frame(steps[i + 1]);
            await explorer.draw(value);
            if (playing !== mine || explorer.value !== value) break;
            await new Promise((resolve) => setTimeout(resolve, 1000 * gpt.SECONDS_A_FRAME - (performance.now() - begun)));
        }
        if (playing === mine) film.pause();
    };
};
