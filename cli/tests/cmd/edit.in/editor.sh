grep -q "^username: <sealed>$" "$1" || exit 1
printf "username: <sealed>\npassword: another-one\nport: \"5432\"\n" > "$1"
