/** A text's UTF-8 in base64url without padding (RFC 4648, section 5). */
export function encode(text) {
  const raw = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
