// Answers of the server may arrive out of order: of several requests of one kind, only the answer to the newest is shown.
//
//     const requests = gpt.requests();
//     const isNewest = requests.begin(), answer = await ...;
//     if (!isNewest()) return;
gpt.requests = function () {
    let newest = 0;
    return {
        // A new request -> a function that says whether it is the newest still.
        begin() {
            const mine = ++newest;
            return () => mine === newest;
        },
        // Ignore the answers to all requests so far.
        drop() {
            newest += 1;
        },
    };
};

// The same where requests carry a number that comes back in their answers: show(value) is called unless a newer one was shown already.
gpt.inOrder = function (numberOf, show) {
    let newest = 0;
    return (value) => {
        const number = numberOf(value) ?? newest;
        if (number < newest) return;
        newest = number;
        show(value);
    };
};

// Calls work(isNewest) one at a time. Calls during that time are merged into one, which runs afterwards.
gpt.oneAtATime = function (work) {
    let busy = false, again = false;
    return async () => {
        again = true;
        if (busy) return;
        busy = true;
        while (again) {
            again = false;
            await work(() => !again);
        }
        busy = false;
    };
};
