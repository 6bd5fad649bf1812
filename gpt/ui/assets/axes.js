// What curves are drawn over, and on which axes: a person chooses below the chart.

gpt.AXES = [["step", "steps"], ["tokens", "tokens"], ["seconds", "seconds of work"]];

// What the axes of curves show -> {element, over: the key of x, log: {x, y}: "log" or "linear", title()}. `choices` are [key, title].
gpt.axisOptions = function (choices, changed) {
    const element = gpt.make("div", "gpt-settings gpt-left"), axes = { element, over: choices[0][0], log: { x: "linear", y: "linear" } };
    const over = gpt.select(element, "over", choices);
    axes.title = () => choices.find(([key]) => key === axes.over)[1];
    over.onchange = () => {
        axes.over = over.value;
        changed();
    };
    for (const axis of ["x", "y"]) {
        gpt.option(element, `log ${axis}`, (on) => {
            axes.log[axis] = on ? "log" : "linear";
            changed();
        });
    }
    return axes;
};
