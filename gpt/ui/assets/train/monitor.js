// The right side of the Train tab: the current or latest run, updated by polling the server. Memory use is bounded, so that a page
// can stay open for days.

gpt.PATIENCE = 15000;                                                // ms for an answer: longer, and the server counts as lost

// server.poll({page, run, cursor}) -> see gpt/ui/server/training_status.py.
gpt.views.monitor = function (element, props, { server, choices }) {
    const facts = gpt.live(gpt.make("div", "gpt-facts")), done = gpt.make("span"), progress = gpt.wrap("div", "gpt-progress", done);
    const sentence = gpt.make("p", "gpt-small"), error = gpt.make("p", "gpt-error"), logText = gpt.make("pre");
    const log = gpt.wrap("details", "gpt-log", gpt.make("summary", "", "Last lines of the log"), logText);
    const place = gpt.make("div"), messages = gpt.runMessages(), loss = gpt.lossChart((axis) => forming.follow(axis));
    const reading = gpt.lossReading(server, loss.compareWith);
    element.replaceChildren(facts, progress, error, log, loss.chart, reading.element, loss.options, place, sentence, messages.warnings, messages.samples);
    const forming = gpt.forming(place, server, choices, loss.mark);
    let run = null, state = null, cursor = 0;

    const forget = () => {
        loss.forget();
        messages.forget();
        reading.forget();
    };
    const show = (status) => {
        if (status.rows[0]?.step < loss.lastStep()) forget();        // a resumed run has done some steps anew
        if (status.run !== run || status.chart) {
            run = status.run;
            forget();
            loss.begin(status.chart, run);
        }
        cursor = status.cursor;
        loss.extendTo(status.steps);
        if (status.rows.length) {
            loss.add(status.rows);
            messages.add(status.rows);
        }
        if (status.rows.some((row) => row.val_loss !== undefined)) reading.update(run);
        forming.update(status.run, status.rows.some((row) => row.kind === "heads") || status.state !== state, status.rows.length > 0);
        state = status.state;
        facts.replaceChildren(...status.facts.map(({ value, label, hint }) =>
            Object.assign(gpt.wrap("div", "gpt-fact", gpt.make("b", "", value), gpt.make("span", "", label)), { title: hint })));
        done.style.width = `${100 * status.progress}%`;
        error.textContent = status.error || "";
        sentence.textContent = status.sentence;
        log.hidden = !status.log;
        logText.textContent = status.log;
        gpt.enableButtons(status);
    };
    gpt.pollForever(element, (page) => server.poll({ page, run, cursor }), (status) => {
        if (status) show(status);
        else error.textContent = "The page has lost its server: it will go on when python demo.py runs again.";
    });
};

// Poll as long as the page is open: poll(name of this page), then show(its answer, undefined if the server does not answer).
gpt.pollForever = function (element, poll, show) {
    const page = crypto.getRandomValues(new Uint32Array(2)).join("-"), requests = gpt.requests();
    let wait = 500;                                                  // ms; the server asks for more when many pages poll
    const once = async () => {
        if (document.hidden || !element.isConnected) return;
        const isNewest = requests.begin();
        const impatience = new Promise((resolve) => { setTimeout(resolve, gpt.PATIENCE); });
        const status = await Promise.race([poll(page), impatience]);
        if (!isNewest()) return;
        element.classList.toggle("gpt-offline", !status);
        wait = status ? 1000 * status.wait : 500;
        show(status);
    };
    const repeat = async () => {
        await once();
        setTimeout(repeat, wait);
    };
    repeat();
    // A hidden page does not poll. When it is shown again, after minutes or a night, it polls at once: its timers may still be
    // suspended, and the answer to a request from before the computer slept may never come.
    document.addEventListener("visibilitychange", once);
};

// Enable the buttons that can be used. While a run is stopping, Stop now replaces Stop.
gpt.enableButtons = function (status) {
    const stopping = status.state === "stopping", pause = document.querySelector("#pause");
    if (pause) pause.textContent = status.state === "paused" ? "Resume" : "Pause";
    document.querySelector("#stop")?.classList.toggle("gpt-hidden", stopping);
    document.querySelector("#stop-now")?.classList.toggle("gpt-hidden", !stopping);
    const usable = { train: !status.active, grow: !status.active, pause: status.active && !stopping, stop: status.active,
                     snapshot: status.snapshot, extend: status.extend };
    for (const [id, on] of Object.entries(usable)) {
        const button = document.querySelector(`#${id}`);
        if (button) button.disabled = !on;
    }
};
