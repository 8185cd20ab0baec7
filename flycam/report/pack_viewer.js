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

  links.forEach(function (link, number) {
    link.addEventListener("click", function (event) {
      event.preventDefault();
      show(number);
    });
  });

  frame.addEventListener(
    "wheel",
    function (event) {
      event.preventDefault();
      var box = frame.getBoundingClientRect();
      var x = event.clientX - box.left;
      var y = event.clientY - box.top;
      var scale = Math.min(Math.max(at.scale * (event.deltaY < 0 ? 1.25 : 0.8), 1), 12);
      var ratio = scale / at.scale;
      at = scale === 1 ? { x: 0, y: 0, scale: 1 } : { x: x - (x - at.x) * ratio, y: y - (y - at.y) * ratio, scale: scale };
      lay();
    },
    { passive: false }
  );
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
  window.addEventListener("pointerup", function () {
    held = null;
  });
  window.addEventListener("keydown", function (event) {
    var step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      show(current + step);
    }
  });
  show(0);
})();
