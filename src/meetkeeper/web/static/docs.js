/* Shows the API's description with the files we ship ourselves. */
window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("ui");
  window.SwaggerUIBundle({
    url: place.dataset.url,
    domNode: place,
    deepLinking: true,
    validatorUrl: null,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: false,
    requestSnippetsEnabled: true,
    syntaxHighlight: { activated: true, theme: "agate" },
  });
});
