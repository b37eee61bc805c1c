// Before the first paint, so that a chosen theme does not flash; a file because the content
// security policy forbids inline scripts.
try {
  var theme = localStorage.getItem('cardloom.theme');
  if (theme === '"dark"' || theme === '"light"')
    document.documentElement.dataset.theme = JSON.parse(theme);
} catch (error) {
  /* storage is off: the system's theme */
}
