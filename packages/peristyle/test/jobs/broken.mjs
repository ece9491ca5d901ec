export function handle( {
