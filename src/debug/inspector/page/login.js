// login.js: asks for the token, or takes it from the address, and changes it for a cookie.

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = localStorage.getItem("coronet-theme") ?? (dark.matches ? "dark" : "light");
document.documentElement.dataset.theme = theme;

const form = document.querySelector("form");
const input = document.querySelector("input");
const error = document.querySelector(".error");

async function enter(token) {
  const response = await fetch("/api/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (response.ok) location.replace("/");
  else error.textContent = (await response.json()).error;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void enter(input.value.trim());
});

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given === null) input.focus();
else {
  history.replaceState(null, "", "/");
  void enter(given);
}
