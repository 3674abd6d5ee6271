/* The form of a bot: fields of colours, and a preview of the page with what is typed. */
document.addEventListener("DOMContentLoaded", () => {
    const preview = document.getElementById("preview");
    if (!preview) return;
    const frame = preview.querySelector("iframe");
    const viewport = preview.querySelector(".fb-preview-window");
    const choices = [...preview.querySelectorAll("select")];
    const choice = (name) => choices.find((each) => each.name === name).value;
    const value = (name) => document.getElementById(`id_${name}`)?.value.trim() ?? "";
    let picture = null; // of the file that is chosen
    let isReady = false;

    for (const field of document.querySelectorAll("[data-colour]")) addPicker(field);

    function addPicker(field) {
        const picker = document.createElement("input");
        picker.type = "color";
        picker.className = "fb-colour";
        picker.setAttribute("aria-label", `Choose: ${field.labels[0]?.textContent.trim() ?? field.name}`);
        const isColour = () => /^#[0-9a-f]{6}$/i.test(field.value);
        const follow = () => {
            picker.value = isColour() ? field.value : field.name === "accent_dark" ? "#58cabf" : "#0b6e69";
            picker.classList.toggle("fb-unset", !isColour());
        };
        field.addEventListener("input", follow);
        picker.addEventListener("input", () => {
            field.value = picker.value;
            picker.classList.remove("fb-unset");
            show();
        });
        follow();
        field.before(picker);
        field.parentElement.classList.add("fb-with-colour");
    }

    function load() {
        isReady = false;
        const query = new URLSearchParams({ slug: preview.dataset.slug, language: choice("language") });
        frame.src = `${preview.dataset.url}?${query}`;
    }

    function lay() {
        const width = Number(choice("width"));
        const shown = width < 600 ? Math.min(viewport.clientWidth, 320) : viewport.clientWidth;
        const scale = shown / width;
        const height = width < 600 ? 720 : 760;
        frame.style.cssText = `width:${width}px;height:${height}px;transform:scale(${scale});color-scheme:${choice("theme")}`;
        frame.style.marginLeft = `${(viewport.clientWidth - shown) / 2}px`;
        viewport.style.height = `${height * scale}px`;
    }

    function show() {
        if (!isReady) return;
        const language = choice("language");
        const removes = document.getElementById("id_removes_logo")?.checked;
        const look = {
            name: value("name"), accent: value("accent"), accentDark: value("accent_dark"),
            greeting: value(`greeting_${language}`), introduction: value(`introduction_${language}`),
            starters: value(`starters_${language}`).split("\n").map((line) => line.trim()).filter(Boolean),
            logo: picture ?? (removes ? preview.dataset.mark : null),
        };
        frame.contentWindow.postMessage({ look }, location.origin);
    }

    function readPicture(file) {
        picture = null;
        if (!file || file.size > 2_000_000) return show();
        const reader = new FileReader();
        reader.addEventListener("load", () => {
            picture = reader.result;
            show();
        });
        reader.readAsDataURL(file);
        return undefined;
    }

    addEventListener("message", (event) => {
        if (event.source !== frame.contentWindow || event.origin !== location.origin) return;
        isReady = true;
        show();
    });
    for (const each of choices) each.addEventListener("change", () => (each.name === "language" ? load() : lay()));
    const form = document.getElementById("bot_form");
    form.addEventListener("input", show);
    form.addEventListener("change", (event) => {
        if (event.target.id === "id_logo_file") readPicture(event.target.files[0]);
        else show();
    });
    addEventListener("resize", lay);
    choices.find((each) => each.name === "theme").value = document.documentElement.classList.contains("dark") ? "dark" : "light";
    if (viewport.clientWidth < 500 && innerWidth < 600) choices.find((each) => each.name === "width").value = "390";
    lay();
    load();
});
