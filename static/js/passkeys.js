// Passkeys: has the browser use or make one, puts its answer into the form around the button, and sends that form.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (keys) => (keys ?? []).map((key) => ({ ...key, id: bytes(key.id) }));
  const answered = (made, response) => ({
    id: made.id, rawId: text(made.rawId), type: made.type, response,
    clientExtensionResults: made.getClientExtensionResults(), authenticatorAttachment: made.authenticatorAttachment,
  });

  const use = async (asked) => {
    const publicKey = { ...asked, challenge: bytes(asked.challenge), allowCredentials: named(asked.allowCredentials) };
    const made = await navigator.credentials.get({ publicKey });
    const { clientDataJSON, authenticatorData, signature, userHandle } = made.response;
    return answered(made, {
      clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature),
      userHandle: userHandle ? text(userHandle) : null,
    });
  };

  const make = async (asked) => {
    const publicKey = {
      ...asked, challenge: bytes(asked.challenge), user: { ...asked.user, id: bytes(asked.user.id) },
      excludeCredentials: named(asked.excludeCredentials),
    };
    const made = await navigator.credentials.create({ publicKey });
    const { clientDataJSON, attestationObject } = made.response;
    return answered(made, {
      clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject),
      transports: made.response.getTransports?.() ?? [],
    });
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey], [data-new-passkey]");
    if (!button) return;
    event.preventDefault();
    const { form } = button;
    const says = form.querySelector("[data-passkey-says]");
    says.textContent = "";
    try {
      let answer;
      if (button.dataset.newPasskey) answer = await make(JSON.parse(button.dataset.newPasskey).publicKey);
      else {
        const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
        const reply = await fetch(button.dataset.passkey, { method: "POST", headers });
        answer = await use((await reply.json()).publicKey);
      }
      form.elements.passkey.value = JSON.stringify(answer);
      form.submit();
    } catch {
      // Whoever closed the browser's window, or has no passkey here, goes on by another way.
      says.textContent = "No passkey was used. Try again, or go another way.";
    }
  });
})();
