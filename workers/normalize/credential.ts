/** What stands for a value that is not shown. */
export const redacted = '[redacted]'

/** What names a credential, wherever it stands in a name that is written without its separators. */
const naming = new RegExp(
  [
    'passw(?:or)?d|passphrase|passwd|passcode|pgpass|netrc|htpasswd|secret|token|credential|authorization|cookie|bearer',
    '(?:access|account|api|app|auth|cert|client|deploy|encryption|gpg|hmac|license|master|pgp|private|rsa)[_-]?key',
    '(?:server|session|shared|signing|ssh|ssl|storage|tls|user)[_-]?key',
    'connection[_-]?(?:string|ur[il])|webhook[_-]?ur[il]|kubeconfig|docker[_-]?(?:config|cfg)|keyring|keytab|keystore',
  ].join('|'),
)
/** What names one only where it is a word of its own. */
const words = new Set(['auth', 'cred', 'creds', 'dsn', 'jwt', 'otp', 'pass', 'pat', 'pwd', 'psk'])

/** What does not hold a credential itself, but tells where one is, or how it is used: `tokenSecretRef`, `secretName`, `tokenExpirationSeconds`. */
const telling =
  /(?:names?|namespaces?|refs?|references?|selectors?|kinds?|types?|class|paths?|modes?|polic(?:y|ies)|versions?|groups?|audiences?|issuer|provider|algorithm|seconds|minutes|hours|days|ttl|duration|timeout|count|limit|size|length|enabled|endpoints?|url)$/
/** Ends like the ones before and is a credential all the same. */
const capability = /(?:connection|webhook)url$/

/** The words of a field's name in lower case, however they are joined: `dbPassword`, `DB_PASSWORD`, `db.password`. */
export function splitName(name: string): string[] {
  return name
    .replace(/([a-z\d])([A-Z])|([A-Z])([A-Z][a-z])/g, '$1$3 $2$4')
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter(Boolean)
}

/** Whether what stands under this name is a credential, by what people call them. */
export function namesCredential(name: string): boolean {
  const parts = splitName(name)
  const joined = parts.join('')
  if (capability.test(joined)) return true
  return !telling.test(joined) && (naming.test(joined) || parts.some((part) => words.has(part)))
}

/** Whether what stands under this name tells of a credential without being one. */
export function tellsOfCredential(name: string): boolean {
  const joined = splitName(name).join('')
  return telling.test(joined) && !capability.test(joined)
}

const named = String.raw`(?:${naming.source}|pwd)[\w.-]{0,64}`
const quoted = String.raw`\\{0,7}"(?:[^"\\]|\\.)*"?|'[^']*'?`
/** Each takes time in proportion to the text: whoever may create an object may write into it what they like. */
const forms: readonly [RegExp, string][] = [
  // What is before the host in a URL, and in the addresses that Go's MySQL driver takes.
  [/([a-z][a-z\d+.-]{0,30}:\/\/)[^\s/?#"'<>]*@/gi, `$1${redacted}@`],
  [/[^\s:@/"']{1,64}:[^\s@"']{1,256}@(?=(?:tcp|unix)\()/gi, `${redacted}@`],
  // `Password=x;`, `?token=x&`, `--api-key=x`.
  [new RegExp(String.raw`(${named}\s*=\s*)(?:${quoted}|[^;&"'\n]{1,256}(?=;)|[^\s;,&"']+)`, 'gi'), `$1${redacted}`],
  // `--password x`, and `-u user:x` as curl takes it.
  [
    new RegExp(String.raw`(\s--?[\w-]{0,64}(?:${naming.source}|pwd)[\w-]{0,64}\s+)(?:${quoted}|[^\s;,&"']+)`, 'gi'),
    `$1${redacted}`,
  ],
  [/(\s(?:-u|--user)[\s=]+)[^\s:]{1,64}:\S+/g, `$1${redacted}`],
  // Members of JSON and YAML in a string: quoted, of several lines, plain.
  [new RegExp(String.raw`(${named}\\{0,7}["']?\s*:\s*)(?:${quoted})`, 'gi'), `$1${redacted}`],
  [new RegExp(String.raw`(${named}["']?[ \t]*:)[ \t]*(?:[|>][^\n]*)?(?:\n[ \t]+[^\n]*)+`, 'gi'), `$1 ${redacted}`],
  [new RegExp(String.raw`(${named}["']?[ \t]*:[ \t]+)[^\n,}]+`, 'gi'), `$1${redacted}`],
  [/\b(Basic|Bearer)\s+[\w.~+/=-]{8,}/gi, `$1 ${redacted}`],
  // A JSON Web Token, and tokens that say in their first letters whose they are.
  [/\beyJ[\w-]{8,512}\.[\w-]+\.[\w-]*/g, redacted],
  [/\b(?:AKIA|ASIA)[A-Z\d]{16}\b/g, redacted],
  [/\b(?:gh[oprsu]_|github_pat_|glpat-|xox[abeprs]-|[rs]k_live_|whsec_|hvs\.)[\w+/=-]{8,}/g, redacted],
]
/** None of the forms is without one of these: most texts are short words, and looked at once. */
const suspicious = /[=@\s"']|eyJ|LS0tLS1CRUdJTi|A[KS]IA|gh[oprsu]_|github_pat_|glpat-|xox|k_live_|whsec_|hvs\./
/** Also in base64, where it says neither certificate nor public key. */
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----|LS0tLS1CRUdJTi(?!BDRVJU|BQVUJMSUM)/

/** Hides what in a text is a credential by its form; all of one with a private key in it. */
export function hideCredentials(text: string): string {
  if (!suspicious.test(text)) return text
  if (privateKey.test(text)) return redacted
  return forms.reduce((rest, [form, replacement]) => rest.replace(form, replacement), text)
}
