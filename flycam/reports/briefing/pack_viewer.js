(function () {
  "use strict";
  var links = Array.prototype.slice.call(document.querySelectorAll("a[data-picture]"));
  var picture = document.getElementById("picture");
  var caption = document.getElementById("caption");
  var frame = picture.parentNode;
  var at = { x: 0, y: 0, scale: 1 };
  var held = null;
  var current = 0;

  function lay() {
    picture.style.transform = "translate(" + at.x + "px," + at.y + "px) scale(" + at.scale + ")";
  }

  function show(number) {
    current = (number + links.length) % links.length;
    var link = links[current];
    picture.src = link.getAttribute("href");
    picture.alt = caption.textContent = link.getAttribute("data-picture");
    links.forEach(function (one) {
      one.setAttribute("aria-current", String(one === link));
    });
    at = { x: 0, y: 0, scale: 1 };
    lay();
  }

  /** What lies at (x, y) of the frame stays there. */
  function zoom(factor, x, y) {
    var scale = Math.min(Math.max(at.scale * factor, 1), 12);
    var ratio = scale / at.scale;
    at = scale === 1 ? { x: 0, y: 0, scale: 1 } : { x: x - (x - at.x) * ratio, y: y - (y - at.y) * ratio, scale: scale };
    lay();
  }

  function zoomUnder(event, factor) {
    var box = frame.getBoundingClientRect();
    event.preventDefault();
    zoom(factor, event.clientX - box.left, event.clientY - box.top);
  }

  links.forEach(function (link, number) {
    link.addEventListener("click", function (event) {
      event.preventDefault();
      show(number);
    });
  });
  frame.addEventListener(
    "wheel",
    function (event) {
      zoomUnder(event, event.deltaY < 0 ? 1.25 : 0.8);
    },
    { passive: false }
  );
  frame.addEventListener("dblclick", function (event) {
    zoomUnder(event, at.scale > 3 ? 0 : 2);
  });
  frame.addEventListener("pointerdown", function (event) {
    event.preventDefault();
    held = { x: event.clientX - at.x, y: event.clientY - at.y };
  });
  window.addEventListener("pointermove", function (event) {
    if (held && at.scale > 1) {
      at.x = event.clientX - held.x;
      at.y = event.clientY - held.y;
      lay();
    }
  });
  ["pointerup", "pointercancel"].forEach(function (name) {
    window.addEventListener(name, function () {
      held = null;
    });
  });
  window.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    var step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
    var factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key];
    if (step) show(current + step);
    if (factor) zoom(factor, frame.clientWidth / 2, frame.clientHeight / 2);
    if (step || factor) event.preventDefault();
  });
  show(0);
})();
