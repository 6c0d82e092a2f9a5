#!/bin/sh
# steps_page.sh STEPS_PAGE: a browser without a window goes through pages of write_steps by arrow keys; steps_page.cpp says what is
# compared. Skipped (77) where there is no Chromium.
set -u
program=$1
for browser in chromium chromium-browser google-chrome ''; do
    command -v "$browser" >/dev/null && break
done
[ -n "$browser" ] || { echo 'skipped: no chromium' && exit 77; }
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 1

"$program" . || exit 1
read_page() {  # NAME WIDTH,HEIGHT: the page's report, and what stands in the browser's console
    HOME=$folder timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$folder/profile" \
        --window-size=$2 --virtual-time-budget=20000 --enable-logging=stderr --dump-dom "file://$folder/$1.html" >dom 2>log
    [ -s dom ] || { tail -3 log && echo 'skipped: chromium does not start here' && exit 77; }
    grep -o '<p>report [^<]*' dom | sed 's/<p>report //; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' >"$1.report"
    grep CONSOLE log | sed 's/^/bad|console: /' >>"$1.report"
}

read_page small 500,800    # a browser's narrowest window
read_page sentence 1200,900
"$program" . check
