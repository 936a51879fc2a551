/** The live view: one EventSource with the filter's query, its events folded into two tables and a list of changes. */

const shownPods = 200
const shownChanges = 120
const restartAfter = 5000

const find = (selector) => document.querySelector(selector)
const form = find('#filter')
const loginForm = find('#login')
const pods = new Map()
const leases = new Map()
let counts = new Map()
let source
let isPaused = false
let isDirty = false
let isLive = false
let restartTimer
let isKnown = false

/** Creates an element; attributes whose value is undefined are left out. Texts are never read as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value)
  }
  element.append(...children)
  return element
}

/**
 * The filter without the phase: that one is applied here, since a stream of Running Pods alone does not tell when one stops
 * to be Running, nor anything of Leases.
 */
function readQuery() {
  const query = new URLSearchParams()
  for (const [name, value] of new FormData(form)) {
    if (name !== 'phase' && String(value).trim() !== '') query.set(name, String(value).trim())
  }
  return query
}

function isShown({ phase }) {
  return form.elements.phase.value === '' || phase === undefined || phase === form.elements.phase.value
}

function showConnection(state, text) {
  const element = find('#connection')
  element.dataset.state = state
  element.textContent = text
}

function showComplaint(text, place = form) {
  const element = place.querySelector('.complaint')
  element.textContent = text ?? ''
  element.hidden = text === undefined
}

/** Opens the stream anew. An EventSource is not told why it was refused, so a refusal is asked for once more by fetch. */
function connect() {
  clearTimeout(restartTimer)
  source?.close()
  pods.clear()
  leases.clear()
  find('#changes').replaceChildren()
  isLive = false
  isDirty = true
  showComplaint()
  showConnection('connecting', 'connecting')
  const query = readQuery()
  query.set('from', 'state')
  const opened = new EventSource(`/v1/events?${query}`)
  source = opened
  opened.addEventListener('live', () => {
    isLive = true
    isDirty = true
    showConnection('live', 'live')
  })
  // Events are missing: what is shown may be wrong, so it is read again.
  opened.addEventListener('reset', connect)
  opened.addEventListener('open', () => {
    // A stream that broke before it was live sends the current objects again.
    if (!isLive) {
      pods.clear()
      leases.clear()
    } else showConnection('live', 'live')
  })
  opened.addEventListener('message', ({ data }) => fold(JSON.parse(data)))
  opened.addEventListener('error', () => {
    showConnection('lost', 'connection lost, trying again')
    if (opened.readyState === EventSource.CLOSED) void explain(opened.url)
  })
}

async function explain(url) {
  const head = new URL(url)
  head.searchParams.set('from', 'now')
  try {
    const response = await fetch(head, { headers: { accept: 'application/json' } })
    if (response.ok) restartTimer = setTimeout(connect, restartAfter)
    else if (response.status === 401) askForLogin()
    else {
      const { detail, status } = await response.json()
      showComplaint(detail)
      if (status >= 500) restartTimer = setTimeout(connect, restartAfter)
      else showConnection('lost', 'not connected')
    }
  } catch {
    restartTimer = setTimeout(connect, restartAfter)
  }
}

/** Who is known may log out; where nobody is asked there is nothing to show. */
async function begin() {
  try {
    const response = await fetch('/v1/login')
    if (response.status === 401) {
      askForLogin()
      return
    }
    const { tenant = '' } = response.ok ? await response.json() : {}
    isKnown = tenant !== ''
    find('#logout').hidden = !isKnown
    find('#logout').title = isKnown ? `Logged in as ${tenant}` : ''
    writeCommands()
  } catch {
    // The stream tells what is wrong, and tries again.
  }
  loginForm.hidden = true
  form.hidden = false
  connect()
}

function askForLogin() {
  isKnown = true
  pods.clear()
  leases.clear()
  find('#changes').replaceChildren()
  isDirty = true
  showConnection('lost', 'not logged in')
  find('#logout').hidden = true
  loginForm.hidden = false
  form.hidden = true
  loginForm.elements.credential.focus()
  writeCommands()
}

async function login() {
  const { credential } = loginForm.elements
  showComplaint(undefined, loginForm)
  try {
    // Text that no header may hold is no credential either.
    const headers = { authorization: `Bearer ${credential.value.trim()}` }
    const response = await fetch('/v1/login', { method: 'POST', headers })
    if (!response.ok) {
      showComplaint((await response.json()).detail, loginForm)
      return
    }
  } catch (error) {
    showComplaint(error instanceof TypeError ? 'The relay cannot be reached with this.' : String(error), loginForm)
    return
  }
  loginForm.reset()
  await begin()
}

async function logout() {
  source?.close()
  await fetch('/v1/login', { method: 'DELETE' })
  askForLogin()
}

function fold(event) {
  const kind = event.type.split('.')[1]
  const objects = kind === 'pod' ? pods : kind === 'lease' ? leases : undefined
  if (event.type.endsWith('.deleted') || event.scope === 'left') objects?.delete(event.subject)
  else objects?.set(event.subject, { ...event.data, isFresh: isLive })
  isDirty = true
  if (event.synthetic !== 'state' && !isPaused && isShown(event.data)) addChange(event)
}

function addChange(event) {
  const list = find('#changes')
  const time = new Date(event.time)
  list.prepend(
    make(
      'li',
      { class: 'fresh' },
      make('time', { datetime: event.time }, time.toLocaleTimeString()),
      make('span', { class: 'who' }, event.subject),
      make('span', { class: 'what', 'data-phase': event.data.phase }, describe(event)),
    ),
  )
  while (list.children.length > shownChanges) list.lastElementChild.remove()
}

function describe({ type, data }) {
  const parts = (data.changes ?? []).map((change) => {
    const label = change.container === undefined ? change.type : `${change.type} ${change.container}`
    if (typeof change.to === 'string' && typeof change.from === 'string')
      return `${label} ${change.from} → ${change.to}`
    // Of a moment only the fact is told: the line has a time of its own.
    if (typeof change.to === 'string' && !/^\d{4}-\d\d-/.test(change.to)) return `${label} ${change.to}`
    return change.reason === undefined ? label : `${label} (${change.reason})`
  })
  return parts.length > 0 ? parts.join(', ') : type.split('.').at(-1)
}

function render() {
  if (isDirty && !document.hidden) {
    isDirty = false
    renderPods()
    renderLeases()
  }
  requestAnimationFrame(render)
}

function renderPods() {
  counts = new Map()
  for (const { phase } of pods.values()) counts.set(phase, (counts.get(phase) ?? 0) + 1)
  find('#counts').replaceChildren(
    ...[...counts]
      .sort()
      .map(([phase, count]) =>
        make('div', {}, make('dt', {}, phase), make('dd', { 'data-phase': phase }, String(count))),
      ),
  )
  const keys = [...pods.keys()].filter((key) => isShown(pods.get(key))).sort()
  const rows = keys.slice(0, shownPods).map((key) => {
    const pod = pods.get(key)
    const row = make(
      'tr',
      { class: pod.isFresh ? 'fresh' : undefined },
      make('td', { title: pod.namespace }, pod.namespace),
      make('td', { title: pod.name }, pod.name),
      make('td', { 'data-phase': moodOf(pod) }, pod.status ?? pod.phase ?? ''),
      make('td', {}, pod.ready ?? ''),
      make('td', {}, String(pod.restarts ?? 0)),
      make('td', { title: pod.node ?? '' }, pod.node ?? ''),
    )
    pod.isFresh = false
    return row
  })
  find('#pods').replaceChildren(...rows)
  find('#more').hidden = keys.length <= shownPods
  find('#more').textContent = `and ${keys.length - shownPods} more; narrow the filter to see them.`
}

function moodOf({ phase, status }) {
  return /BackOff|Error|OOM|Err/.test(status ?? '') ? 'Trouble' : phase
}

function renderLeases() {
  const rows = [...leases.keys()].sort().map((key) => {
    const lease = leases.get(key)
    const row = make(
      'tr',
      { class: lease.isFresh ? 'fresh' : undefined },
      make('td', { title: key }, make('span', { class: 'soft' }, `${lease.namespace}/`), lease.name),
      make('td', { title: lease.holder ?? '', 'data-phase': lease.expired ? 'Trouble' : undefined }, holderOf(lease)),
      make('td', {}, lease.term === undefined ? '' : age(lease.term.from)),
    )
    lease.isFresh = false
    return row
  })
  find('#leases').replaceChildren(...rows)
}

function holderOf({ holder, expired }) {
  if (holder === null || holder === undefined) return 'nobody'
  return expired ? `${holder} (expired)` : holder
}

function age(from) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(from)) / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}

function writeCommands() {
  const { origin } = location
  const curl = isKnown ? 'curl -H "Authorization: Bearer $RELAY_TOKEN"' : 'curl'
  const commands = {
    stream: `${curl} -N '${origin}/v1/events?resource=pods&from=state'`,
    webhook: `${curl} -X POST '${origin}/v1/webhooks' -H 'content-type: application/json' \\\n  -d '{"url": "http://127.0.0.1:9000/", "filter": {"resource": ["pods"], "phase.to": ["Failed"]}}'`,
    leases: `${curl} '${origin}/v1/leases'`,
  }
  for (const code of document.querySelectorAll('[data-command]')) {
    code.textContent = commands[code.dataset.command]
    if (code.nextElementSibling !== null) continue
    const button = make('button', { type: 'button' }, 'Copy')
    button.addEventListener('click', () => copy(button, code))
    code.parentElement.append(button)
  }
}

async function copy(button, code) {
  try {
    await navigator.clipboard.writeText(code.textContent)
    button.textContent = 'Copied'
  } catch {
    // Without TLS a browser may refuse: then the text is at least selected.
    getSelection().selectAllChildren(code)
    button.textContent = 'Selected'
  }
  setTimeout(() => {
    button.textContent = 'Copy'
  }, 1500)
}

let typing
form.addEventListener('input', ({ target }) => {
  isDirty = true
  if (target.name === 'phase') return
  clearTimeout(typing)
  typing = setTimeout(connect, 400)
})
form.addEventListener('submit', (event) => event.preventDefault())
form.addEventListener('reset', () => setTimeout(connect))
loginForm.addEventListener('submit', (event) => {
  event.preventDefault()
  void login()
})
find('#logout').addEventListener('click', () => void logout())
find('#pause').addEventListener('click', ({ currentTarget }) => {
  isPaused = !isPaused
  currentTarget.setAttribute('aria-pressed', String(isPaused))
  currentTarget.textContent = isPaused ? 'Resume' : 'Pause'
})
// Ages grow though nothing changes.
setInterval(() => {
  isDirty = true
}, 5000)

writeCommands()
void begin()
requestAnimationFrame(render)
