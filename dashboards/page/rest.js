// Questions to the REST API.

/** Return the JSON at `path`; raise an Error that says what the server said. */
export async function get(path, parameters = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const response = await fetch(url);
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail ?? `${response.status} ${response.statusText}`);
  return body;
}

/** Return what `ask` returns, asked again every `waitMs` until it answers; `onError` is told. */
export async function patiently(ask, onError = () => {}, waitMs = 1_500) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      onError(error);
      await new Promise((resolve) => setTimeout(resolve, waitMs * (0.75 + Math.random() / 2)));
    }
  }
}
