// What the site learns from the widget.

customElements.whenDefined("fabra-widget").then(() => {
  const widget = document.querySelector("fabra-widget");
  for (const name of ["open", "close", "message", "escalated", "failed"]) {
    widget.addEventListener(name, ({ detail }) => {
      document.querySelector("#events").textContent = `${name} ${JSON.stringify(detail)}`;
    });
  }
});
