// The company's provider in tests: OpenID Connect, with people and groups of a file.
//
// PORT, PEOPLE (a JSON file: account to claims, read anew each time, so that tests change groups),
// CLIENTS (JSON), and GROUPS_IN_ID_TOKEN where groups are not at the userinfo endpoint alone.
// With REFRESH_TOKENS clients that may use refresh tokens get them, and each works once.
// At ADDRESS, over TLS where CERTIFICATE and KEY (files) are set.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const port = Number(process.env.PORT);
const { ADDRESS: address, CERTIFICATE: certificate, KEY: key } = process.env;
const issuer = `${certificate ? "https" : "http"}://${address}:${port}`;
const people = () => JSON.parse(readFileSync(process.env.PEOPLE, "utf8"));
const TOKEN_SECONDS = 300;
const refreshTokens = {
  issueRefreshToken: (_context, client) => client.grantTypeAllowed("refresh_token"),
  rotateRefreshToken: true,
};

const provider = new Provider(issuer, {
  clients: JSON.parse(process.env.CLIENTS),
  cookies: { keys: ["a-key-of-the-tests"] },
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username", "groups"],
    email: ["email"],
  },
  conformIdTokenClaims: !process.env.GROUPS_IN_ID_TOKEN,
  scopes: ["openid", "profile", "email", "offline_access", "mcp"],
  pkce: { required: () => true },
  ttl: { AccessToken: TOKEN_SECONDS, IdToken: TOKEN_SECONDS, Session: 3600, Interaction: 600, Grant: 3600 },
  ...(process.env.REFRESH_TOKENS ? refreshTokens : {}),
  clientAuthMethods: ["client_secret_basic", "client_secret_post", "none"],
  findAccount(_context, id) {
    const claims = people()[id];
    return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
  },
  // What the tools' gateway reads of an access token.
  extraTokenClaims(_context, token) {
    const { preferred_username, groups } = people()[token.accountId] ?? {};
    return { preferred_username, groups };
  },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource) => ({
        scope: "mcp",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: TOKEN_SECONDS,
      }),
    },
  },
});
provider.on("server_error", (_context, error) => console.error(error));
if (certificate) {
  const answer = provider.callback();
  createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, answer).listen(port, address);
} else {
  provider.listen(port, address, () => console.log(issuer));
}
