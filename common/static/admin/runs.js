/* Updates the progress bars of unfinished runs without a reload. */
(() => {
    const EVERY_MS = 1000;
    const parts = () => [...document.querySelectorAll("[data-fb-run]")];

    const draw = {
        bar(element, run) {
            const fill = element.querySelector(".fb-bar-fill");
            fill.style.width = `${run.percent}%`;
            fill.className = `fb-bar-fill fb-${run.tone}`;
            element.querySelector(".fb-bar-label").textContent = run.label;
            element.querySelector(".fb-bar").title = run.label;
        },
        state(element, run) {
            const badge = element.querySelector(".fb-badge");
            badge.className = `fb-badge fb-${run.state_tone}`;
            badge.textContent = run.state;
        },
        took(element, run) {
            element.textContent = run.took;
        },
    };

    async function look() {
        const waiting = parts();
        if (!waiting.length) return;
        const ids = [...new Set(waiting.map((element) => element.dataset.fbRun))];
        try {
            const response = await fetch(`${waiting[0].dataset.fbUrl}?ids=${ids.join(",")}`);
            if (response.redirected || response.status === 403) return; // signed out meanwhile
            if (response.ok) show(waiting, (await response.json()).runs);
        } catch {
            // The server does not answer; try again at the next interval.
        }
        setTimeout(look, EVERY_MS);
    }

    function show(waiting, runs) {
        for (const element of waiting) {
            const run = runs[element.dataset.fbRun];
            if (!run) continue;
            draw[element.dataset.fbPart](element, run);
            if (run.is_finished) element.removeAttribute("data-fb-run");
        }
    }

    document.addEventListener("DOMContentLoaded", look);
})();
