# The shell, in English: whole. Other languages lie over it.
home = Home
menu = Menu
menu-main = Main
menu-system = System
menu-settings = Settings
search = Search
search-hint = Search pages, apps, notes …
search-results = Results
search-count = { $count ->
    [one] one result
   *[other] { $count } results
}
search-pages = Pages
search-apps = Your apps
search-store = To install
search-notes = Notes
search-none = Nothing fits “{ $text }”.
skip = Skip to the content
close = Close
cancel = Cancel
save = Save
saved = Saved.
add = Add
change = Change
copy = Copy
copied = Copied
yes = Yes
no = No
never = never
just-now = just now
new = New
time = Time
optional = optional
more-settings = More settings
loading = Loading
try-again = Try again
show-more = Show more
actions = Actions
table = Table
table-empty = There is nothing here yet.
language = Language
locked = not in your plan
done-action = { $action }: done.

page-apps = Apps
page-store = App store
page-usage = Usage
page-people = People
page-account = Your account
page-plugins = Plugins
page-operations = Activity
page-audit = Audit log
page-alerts = Alerts
page-webhooks = Webhooks
page-routes = Routes and domains
page-notes = Notes
page-memory = Memory
page-keys = API keys

widget-cpu = Processor
widget-ram = Memory
widget-network = Network
widget-storage = Storage
widget-apps = Apps
widget-alerts = Alerts
widget-notes = Notes

greeting-morning = Good morning, { $name }
greeting-day = Hello, { $name }
greeting-evening = Good evening, { $name }
home-kind = Which home page
home-server = Server
home-personal = Personal
home-empty = No plugin brings a widget for this page.
arrange = Arrange
arrange-done = Done
arrange-hint = Drag a widget by its handle, or move it by the arrow keys; with Shift they change its size.
arrange-default = Default layout
arrange-add = Add a widget
widget-move = Move { $title }
widget-remove = Remove { $title }
widget-moved = { $title } is in column { $column }, row { $row }.
widget-resized = { $title } is { $width } wide and { $height } high.
layout-stale = Another device changed this page meanwhile; it was loaded again. Repeat your change.
layout-restored = This is the default layout.

sign-in = Sign in
sign-in-second = One more step
sign-in-second-lead = Your account has a second factor. Enter the code that your app shows now.
sign-in-code = Code of your second factor
sign-in-backup = Backup code
sign-in-use-backup = Use a backup code
sign-in-use-code = Use a code of the app
sign-in-other = Sign in as somebody else
sign-in-wrong = The user name or the password is wrong.
sign-in-wrong-code = This code does not hold. Codes change every 30 seconds and hold once.
sign-in-locked = There were too many failed attempts, so signing in is locked for a while. This keeps others from guessing your password.
sign-in-locked-for = You can try again in { $seconds ->
    [one] one second
   *[other] { $seconds } seconds
}.
sign-in-locked-over = You can try again now.
sign-out = Sign out
user-name = User name
password = Password
password-again = Password, once more
password-hint = At least 10 characters. A few words are easier to remember than signs.
passwords-differ = The two passwords are not the same.
session-ended = Your session has ended
session-ended-text = Sign in again to go on; nothing on this page is lost.
account-of = Account of { $name }
role-admin = Admin
role-operator = Operator
role-viewer = Viewer
theme = Theme
theme-auto = Auto
theme-light = Light
theme-dark = Dark

first-run = Welcome to Cloud OS
first-run-lead = Make the first account. It is the admin of this node: it installs apps and lets others in.
first-run-code = One-time code
first-run-code-hint = You open the node from another machine. The code is in the log of “cloudos serve”, and in the file auth/setup-code of its data folder.
first-run-code-wrong = This is not the code of this node.
first-run-name-hint = Letters, digits and . _ @ -
first-run-name-form = Only letters, digits and . _ @ - are possible.
first-run-go = Create the account

bell = Events, { $count } new
bell-title = What happened
bell-empty = Nothing yet. What happens on this node is shown here.

offline = The node does not answer. This page goes on by itself as soon as it is back.
trouble = The node does not answer
error-title = That did not work
error-status = The node answered { $status }.
error-offline = The node does not answer. Is it running, and are you on its network?
error-offline-title = No connection
error-unavailable-title = Not available now
error-busy-title = Too many requests
error-forbidden-title = You may not do this
error-not-found-title = This is not here
error-retry-after = It is tried again in { $seconds } s.
not-found-title = Page not found
not-found = There is no page at { $path }.
to-home = To the home page

contribution-broken = “{ $title }” of the plugin { $plugin } failed: { $reason }
contribution-newer = “{ $title }” needs a newer Cloud OS.
contribution-late = it did not load in time
contribution-exports = its module exports neither { $what } nor mount

confirm-type = Type { $text } to go on
shown-once = Keep this now
shown-once-text = It is shown this one time. Put it where you keep your passwords.
shown-once-done = I have kept it

form-required = This is needed.
form-number = A number is needed here.
form-integer = A whole number is needed here.
form-least = At least { $least }.
form-most = At most { $most }.
form-short = At least { $least } characters.
form-long = At most { $most } characters.
form-pattern = This does not have the form that is needed.
form-json = This is not JSON.
form-list = One a line.
form-faults = { $count } fields need another look.

operation = Long work
operation-begins = It begins …
chart-table = As a table

upgrade = Upgrade
upgrade-title = Your plan does not have this
upgrade-plan = You have the plan “{ $plan }”.
upgrade-waits = Once the plan has changed, what you wanted goes on by itself.
upgrade-opened = Allow this page to open a new tab, and try again.
upgrade-no-billing = This edition has no billing. Change the plan where you bought it.
not-now = Not now

state-running = Running
state-stopped = Stopped
state-installing = Installing
state-updating = Updating
state-uninstalling = Being removed
state-crashed = Crashed
state-failed = Failed
state-active = Active
state-pending = Pending
state-error = Error
state-queued = Queued
state-succeeded = Done
state-cancelled = Cancelled
state-disabled = Disabled
state-waiting = Waiting
state-healthy = Healthy
state-failing = Failing
state-firing = Firing
state-resolved = Resolved
state-warning = Warning
state-critical = Critical
state-info = Info
state-ok = OK
state-passed = Healthy
state-unknown = Unknown
state-valid = Valid

plugins-lead = Every part of this node is a plugin. One that fails leaves the others alone.
operations-lead = Long work of the node: installs, updates, imports.
operations-open = Now
operations-none = No long work yet.
operations-title = What
operations-state = State
operations-message = Outcome
operations-finished = Ended
state-degraded = Not well
