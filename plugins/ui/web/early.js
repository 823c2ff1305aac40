// Runs before anything is painted: the theme that was chosen, and a sentence for browsers that cannot load the rest.
(function () {
  try {
    var theme = localStorage.getItem("cloudos.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    var language = localStorage.getItem("cloudos.language");
    if (language) document.documentElement.lang = language;
  } catch (error) {
    // a browser that keeps nothing has the system's theme
  }
  if (!("noModule" in HTMLScriptElement.prototype)) {
    document.addEventListener("DOMContentLoaded", function () {
      var note = document.createElement("p");
      note.className = "unsupported";
      note.textContent = "This browser is too old for Cloud OS. Open this address with a current Firefox, Chrome, Edge or Safari.";
      document.body.appendChild(note);
    });
  }
})();
