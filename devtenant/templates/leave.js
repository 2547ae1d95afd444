// Goes on once every app was told: the page has loaded when its frames have, or have failed.
window.addEventListener("load", () => location.replace(document.getElementById("onward").href));
